"""Whole pages as scanners and phones see them, with the truth moved along.

`pipelines.training.symbols.damage` does the like to tiles, in far greater number; this makes the few whole
pictures that page preparation and everything behind it are trained and judged on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.engraving.pages import ENGRAVED_SPACE_PX, EngravedPage
from services.omr.contract import STAFF_SPACE_PX
from services.omr.light import even_light

Points = NDArray[np.float64]


class Means(StrEnum):
    """How a picture was taken."""

    CLEAN = "clean"
    SCAN = "scan"
    PHOTO = "photo"


#: Shares of the means in what page models are released for: photographs are read, but are no such.
_ORDINARY: Final = {Means.SCAN: 0.5, Means.CLEAN: 0.5}


def ordinary_means(random: np.random.Generator) -> Means:
    """Draw the means of a picture as page models are released for."""
    return Means(random.choice(list(_ORDINARY), p=list(_ORDINARY.values())))


@dataclass(frozen=True, slots=True)
class _Bend:
    """Where a picture's points come from: an affine map and a smooth displacement of a few px.

    Attributes:
        affine: [2, 3], from the page to the picture.
        depth: of the curl, in px of the page.
        waves: its lengths over the picture's width and height, and its phases.
        perspective: the two small numbers of a projective map, per px.
    """

    affine: Points
    depth: float
    waves: tuple[float, float, float, float]
    perspective: tuple[float, float]

    def displacement(self, points: Points) -> Points:
        """Displacement at points of the picture, in px of the page."""
        across, down, phase_x, phase_y = self.waves
        wave = np.sin(points[..., 0] * across + phase_x) * np.cos(points[..., 1] * down + phase_y)
        rise = self.depth * wave
        return np.stack([0.3 * rise, rise], -1)

    def from_picture(self, points: Points) -> Points:
        """Points of the picture to points of the page."""
        inverse = cv2.invertAffineTransform(self.affine)
        scale = 1 + points @ np.array(self.perspective)
        flat = points / scale[..., None]
        return flat @ inverse[:, :2].T + inverse[:, 2] + self.displacement(points)

    def to_picture(self, points: Points) -> Points:
        """Points of the page to points of the picture, by iteration; exact to 0.01 px."""
        found = points @ self.affine[:, :2].T + self.affine[:, 2]
        for _ in range(12):
            moved = self.from_picture(found)
            found = found + (points - moved) @ self.affine[:, :2].T
        return found


def take_picture(page: EngravedPage, means: Means, random: np.random.Generator) -> EngravedPage:
    """A picture of a page, the truth in its px; staves are then the chords of what may be curves.

    Sizes of symbols and `right`, `left`, `y` of staves and measures follow the mean scale.
    """
    space = random.uniform(11, 21) if means is not Means.CLEAN else random.uniform(12, 19)
    bend, shape = _bend_for(page, means, space / ENGRAVED_SPACE_PX, random)
    image = _drawn(page.image, bend, shape)
    if means is not Means.CLEAN:
        image = (_scanned if means is Means.SCAN else _photographed)(image, space, random)
    symbols = page.symbols.copy()
    centres = np.stack([symbols["x"], symbols["y"]], -1).astype(float)
    symbols["x"], symbols["y"] = bend.to_picture(centres).T
    for name in ("width", "height"):
        symbols[name] *= space / ENGRAVED_SPACE_PX
    staves = page.staves.copy()
    middle = np.stack([(staves["left"] + staves["right"]) / 2, staves["y"]], -1).astype(float)
    for name in ("left", "right"):
        ends = np.stack([staves[name], staves["y"]], -1).astype(float)
        staves[name] = bend.to_picture(ends)[:, 0]
    staves["y"] = bend.to_picture(middle)[:, 1]
    return replace(page, image=image, symbols=symbols, staves=staves)


def as_prepared(page: EngravedPage, means: Means, random: np.random.Generator) -> EngravedPage:
    """A page as preparation hands it over: damaged, its light evened, level, of the models' staff space.

    Much cheaper than taking a picture and preparing it; the staff space varies a little, as one found does.
    """
    image = page.image
    if means is not Means.CLEAN:
        damage = _scanned if means is Means.SCAN else _photographed
        image = even_light(damage(image, ENGRAVED_SPACE_PX, random))
    scale = STAFF_SPACE_PX / ENGRAVED_SPACE_PX * np.exp(random.normal(0, 0.02, 2))
    image = np.asarray(
        cv2.resize(image, None, fx=scale[0], fy=scale[1], interpolation=cv2.INTER_AREA), np.uint8
    )
    symbols, staves, measures = page.symbols.copy(), page.staves.copy(), page.measures.copy()
    for each, across, down in (
        (symbols, ("x", "width"), ("y", "height")),
        (staves, ("left", "right"), ("y",)),
        (measures, ("left", "right"), ()),
    ):
        for name in across:
            each[name] *= scale[0]
        for name in down:
            each[name] *= scale[1]
    return EngravedPage(image, symbols, staves, measures)


def staff_space(page: EngravedPage) -> float:
    """Staff space of a picture, in px, from the mean size of what is drawn on it."""
    heads = page.symbols[page.symbols["kind"] < 2]
    return float(np.median(heads["height"])) if len(heads) else ENGRAVED_SPACE_PX


def _bend_for(
    page: EngravedPage, means: Means, scale: float, random: np.random.Generator
) -> tuple[_Bend, tuple[int, int]]:
    height, width = (int(side * scale) for side in page.image.shape)
    turn, depth, lean = {
        Means.CLEAN: (0.0, 0.0, 0.0),
        Means.SCAN: (0.8, random.uniform(0, 4), 0.0),
        Means.PHOTO: (2.0, random.uniform(0, 14), 0.12),
    }[means]
    angle = np.radians(random.normal(0, turn / 2))
    margin = 0.0 if means is not Means.PHOTO else random.uniform(0.02, 0.08) * width
    squeeze = random.uniform(0.95, 1.05) if means is not Means.CLEAN else 1.0
    turned = scale * np.array(
        [[squeeze * np.cos(angle), -np.sin(angle)], [squeeze * np.sin(angle), np.cos(angle)]]
    )
    centre = np.array([page.image.shape[1] / 2, page.image.shape[0] / 2])
    shift = np.array([width / 2 + margin, height / 2 + margin]) - turned @ centre
    bend = _Bend(
        np.hstack([turned, shift[:, None]]),
        depth,
        (
            random.uniform(0.5, 1.5) * np.pi / width,
            random.uniform(0.3, 1.0) * np.pi / height,
            random.uniform(0, 2 * np.pi),
            random.uniform(0, np.pi),
        ),
        (random.uniform(-lean, lean) / width, random.uniform(-lean, lean) / height),
    )
    return bend, (height + int(2 * margin), width + int(2 * margin))


def _drawn(image: NDArray[np.uint8], bend: _Bend, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """The page through the bend; supersampled where it becomes smaller."""
    rows, columns = np.indices(shape, dtype=float)
    source = bend.from_picture(np.stack([columns, rows], -1)).astype(np.float32)
    scale = float(np.sqrt(abs(np.linalg.det(bend.affine[:, :2]))))
    softened = cv2.GaussianBlur(image, (0, 0), 0.45 / scale) if scale < 1 else image
    return np.asarray(
        cv2.remap(softened, source[..., 0], source[..., 1], cv2.INTER_LINEAR, borderValue=255), np.uint8
    )


def _noise(shape: tuple[int, ...], grain: float, random: np.random.Generator) -> NDArray[np.float32]:
    small = random.standard_normal((int(shape[0] / grain) + 2, int(shape[1] / grain) + 2)).astype(np.float32)
    return np.asarray(cv2.resize(small, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC), np.float32)


def _scanned(image: NDArray[np.uint8], space: float, random: np.random.Generator) -> NDArray[np.uint8]:
    """Ink gained or lost, a soft lens, noise of several grains, and mostly one bit of depth."""
    ink = 1 - image.astype(np.float32) / 255
    if random.random() < 0.4:
        kernel = np.ones((2, 2), np.uint8)
        gained = random.random() < 0.65
        ink = cv2.dilate(ink, kernel) if gained else 0.7 * cv2.erode(ink, kernel) + 0.3 * ink
    if random.random() < 0.25:
        ghost = np.roll(ink[:, ::-1], int(random.integers(5, 200)), 0)
        ink = np.maximum(ink, ghost * random.uniform(0.05, 0.2))
    ink = cv2.GaussianBlur(ink, (0, 0), random.uniform(0.04, 0.09) * space)
    for grain, most in ((1, 0.08), (3, 0.06), (90, 0.05)):
        ink += random.uniform(0, most) * _noise(ink.shape, grain, random)
    if random.random() < 0.7:
        ink = (ink > random.uniform(0.2, 0.45)).astype(np.float32)
    return _compressed(ink, random)


def _photographed(image: NDArray[np.uint8], space: float, random: np.random.Generator) -> NDArray[np.uint8]:
    """Uneven light, a shadow, blur and noise."""
    ink = 1 - image.astype(np.float32) / 255
    ink = cv2.GaussianBlur(ink, (0, 0), random.uniform(0.05, 0.11) * space)
    light = random.uniform(0.6, 0.95) * np.ones_like(ink)
    light += random.uniform(0.02, 0.12) * _noise(ink.shape, max(ink.shape) / 2, random)
    picture = (1 - ink * random.uniform(0.6, 0.9)) * np.clip(light, 0.25, 1)
    picture += random.uniform(0.01, 0.04) * _noise(ink.shape, 1, random)
    return _compressed(1 - picture, random)


def _compressed(ink: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.uint8]:
    picture = np.clip(255 - 255 * ink, 0, 255).astype(np.uint8)
    if random.random() < 0.6:
        quality = int(random.integers(40, 92))
        jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        picture = np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_GRAYSCALE), np.uint8)
    return picture
