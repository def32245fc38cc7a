"""What printing, ageing, copying and scanning do to a page, done to a piece of a clean one.

Pictures here are ink: float32 [S, S], 0 is paper and 1 is ink, at `px` times the resolution of the tile that
they become. Every function changes what it is given or returns a new picture of the same shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Ink = NDArray[np.float32]
Lines = Sequence[NDArray[np.float32]]

#: Side of the noise pictures that pieces are cut from; larger than any picture of ink.
_NOISE_PX: Final = 1024
#: Grains of noise, in px: of the sensor, of the paper, of fading, of shadows.
_GRAINS: Final = (1, 1, 1, 2, 4, 12, 60, 200)
#: Less ink than this is the edge of something; most of what is darker, on a page of music, is staff lines.
_TRACE: Final = 0.08
FINE: Final = (0, 1, 2)
PAPER: Final = (3, 4)
FADING: Final = (4, 5)
SHADOW: Final = (6, 7)


@cache
def _noise_pictures() -> tuple[Ink, ...]:
    random = np.random.default_rng(0)
    pictures = []
    for grain in _GRAINS:
        side = _NOISE_PX // grain + 3
        small = random.standard_normal((side, side)).astype(np.float32)
        large = cv2.resize(small, (_NOISE_PX, _NOISE_PX), interpolation=cv2.INTER_CUBIC)
        pictures.append((large / large.std()).astype(np.float32))
    return tuple(pictures)


def noise(random: np.random.Generator, grains: tuple[int, ...], side: int) -> Ink:
    """Noise of one of the `grains`, variance 1, cut and turned at random."""
    picture = _noise_pictures()[grains[random.integers(len(grains))]]
    top, left = random.integers(0, _NOISE_PX - side + 1, 2)
    cut = picture[top : top + side, left : left + side]
    return cut[:: random.choice((-1, 1)), :: random.choice((-1, 1))]


def _chance(random: np.random.Generator, share: float) -> bool:
    return bool(random.random() < share)


def black_edge(random: np.random.Generator, ink: Ink, px: float) -> None:
    """The dark beside a page that a copier adds: a band across, all black beyond it now and then."""
    start = int(random.uniform(0, len(ink)))
    band = slice(start, start + int(random.uniform(4, 70) * px))
    if _chance(random, 0.3):
        band = slice(start, None) if start > 0.75 * len(ink) else slice(0, min(start, len(ink) // 4))
    dark = random.uniform(0.6, 1.0)
    if _chance(random, 0.7):
        ink[:, band] = np.maximum(ink[:, band], dark)
    else:
        ink[band] = np.maximum(ink[band], dark)


def thick_bars(random: np.random.Generator, ink: Ink, barlines: NDArray[np.float32], px: float) -> None:
    """Barlines as bold as old editions print those of repeats.

    Args:
        barlines: [n, 3]: centre x, y and height, in px of `ink`.
    """
    for x, y, height in barlines:
        if _chance(random, 0.4):
            width = random.uniform(1.5, 4.5) * px
            at = x + random.choice((-1, 1)) * random.uniform(0, 5) * px
            top, bottom = int(y - height / 2), int(y + height / 2)
            ink[max(0, top) : max(0, bottom), max(0, int(at - width)) : max(0, int(at))] = 1


def _gain(random: np.random.Generator, ink: Ink) -> Ink:
    """Ink that spreads, or that is eaten away."""
    kernel = np.ones(((2, 2), (2, 2), (3, 2), (2, 3))[random.integers(4)], np.uint8)
    if _chance(random, 0.75):
        return cv2.dilate(ink, kernel)
    left = random.uniform(0.15, 0.5)
    return cv2.erode(ink, kernel) * (1 - left) + ink * left


def _heavy(random: np.random.Generator, ink: Ink, px: float) -> Ink:
    """Beams as thick as old editions print them, close to one another: what is thick grows up and down."""
    core = max(2, round(2.8 * px))
    thick = cv2.morphologyEx(ink, cv2.MORPH_OPEN, np.ones((core, core), np.uint8))
    grown = cv2.dilate(thick, np.ones((1 + max(1, round(random.uniform(0.4, 1.3) * px)), 1), np.uint8))
    return np.maximum(ink, grown)


def _ghost(random: np.random.Generator, ink: Ink) -> Ink:
    """The other side of the leaf, shining through; or the same side, printed twice."""
    strength = random.uniform(0.05, 0.28)
    if _chance(random, 0.7):
        other = np.roll(ink[:, ::-1], int(random.integers(5, len(ink) - 5)), 0)
    else:
        other = np.roll(ink, random.integers(-5, 6, 2), (0, 1))
    return np.maximum(ink, other * strength)


def _worn(random: np.random.Generator, ink: Ink) -> Ink:
    """Faded areas, and breaks across lines and stems."""
    side = len(ink)
    if _chance(random, 0.5):
        ink = ink * np.clip(1 - random.uniform(0.1, 0.45) * np.abs(noise(random, FADING, side)), 0.25, 1)
    for _ in range(int(random.integers(0, 7))):
        ends = random.integers(0, side, 4)
        reach = random.integers(-side // 6, side // 6, 2)
        start, end = (int(ends[0]), int(ends[1])), (int(ends[0] + reach[0]), int(ends[1] + reach[1]))
        ink = np.ascontiguousarray(ink)
        cv2.line(ink, start, end, float(random.uniform(0, 0.3)), int(random.integers(1, 3)), cv2.LINE_AA)
    return ink


def _roughness(random: np.random.Generator) -> float:
    """How much of the noise that there can be: mostly little, as libraries' scans are."""
    return random.uniform(0.5, 1.0) if _chance(random, 0.3) else random.uniform(0, 0.35)


def _along(lines: Lines, ink: Ink) -> Ink:
    """The ink along lines, points (x, y) [n, 2] in px of `ink`, wherever they are inside: [m]."""
    side = len(ink)
    values = [np.zeros(0, np.float32)]
    for line in lines:
        x = np.arange(max(0, int(line[0, 0])), min(side, int(line[-1, 0])))
        y = np.round(np.interp(x, line[:, 0], line[:, 1])).astype(int)
        inside = (y > 0) & (y < side - 1)
        x, y = x[inside], y[inside]
        values.append(np.max([ink[y - 1, x], ink[y, x], ink[y + 1, x]], axis=0))
    return np.concatenate(values)


def _thresholded(random: np.random.Generator, ink: Ink, lines: Lines) -> Ink:
    """Black or white, as old scans are, at a level that most staff lines survive; with specks and holes."""
    side = len(ink)
    typical = float(np.median(ink[ink > _TRACE])) if np.any(ink > _TRACE) else 1.0
    level = typical * random.uniform(0.4, 1.1)
    rough = _roughness(random)
    for grains, strength in ((FINE, 0.22), (PAPER, 0.15), (FADING, 0.15), (SHADOW, 0.12)):
        ink = ink + typical * rough * strength * random.random() * noise(random, grains, side)
    along = _along(lines, ink)
    if along.size and _chance(random, 0.15):
        # A poor scan: of thin lines that cross the rows of the sensor, only fragments are left.
        level = float(np.quantile(along, random.uniform(0.3, 0.85)))
    black = ink > level
    if _chance(random, 0.25):
        black |= noise(random, PAPER, side) > random.uniform(2.6, 3.4)
    if _chance(random, 0.25):
        black &= noise(random, PAPER, side) < random.uniform(2.2, 3.2)
    return black.astype(np.float32)


def _grey(random: np.random.Generator, ink: Ink) -> Ink:
    """A grey scan or photo: contrast, shadow, grain, JPEG."""
    side = len(ink)
    ink = ink * random.uniform(0.5, 1) + random.uniform(0, 0.2)
    rough = _roughness(random)
    for grains, strength in ((SHADOW, 0.1), (FADING, 0.05), (PAPER, 0.05), (FINE, 0.08)):
        ink += rough * strength * random.random() * noise(random, grains, side)
    return _jpeg(random, ink) if _chance(random, 0.6) else ink


def _jpeg(random: np.random.Generator, ink: Ink) -> Ink:
    picture = np.clip(255 - 255 * ink, 0, 255).astype(np.uint8)
    quality = int(random.integers(25, 92))
    packed = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return 1 - cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255


def _coarse(random: np.random.Generator, ink: Ink) -> Ink:
    """As if scanned at a lower resolution."""
    side = len(ink)
    small = int(side * random.uniform(0.55, 0.85))
    reduced = cv2.resize(ink, (small, small), interpolation=cv2.INTER_AREA)
    return cv2.resize(reduced, (side, side), interpolation=cv2.INTER_LINEAR)


def damage(random: np.random.Generator, ink: Ink, px: float, lines: Lines = ()) -> Ink:
    """One random history of a page.

    Args:
        random: decides all.
        ink: the clean print.
        px: how many px of `ink` make one of the tile.
        lines: lines of staves, points (x, y) [n, 2] in px of `ink`, from left to right.
    """
    if _chance(random, 0.15):
        ink = _heavy(random, ink, px)
    if _chance(random, 0.5):
        ink = _gain(random, ink)
    if _chance(random, 0.3):
        ink = _worn(random, ink)
    if _chance(random, 0.25):
        ink = _ghost(random, ink)
    ink = cv2.GaussianBlur(ink, (0, 0), random.uniform(0.28, 1.1) * max(px, 1.0))
    if _chance(random, 0.12) and px > 1.2:
        ink = _coarse(random, ink)
    return _thresholded(random, ink, lines) if _chance(random, 0.68) else _grey(random, ink)
