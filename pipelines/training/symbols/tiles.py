"""Training tiles: a piece of an engraved page at the served scale, bent and damaged, with its targets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.engraving.pages import ENGRAVED_SPACE_PX, EngravedPage
from pipelines.training.symbols.damage import Ink, black_edge, damage, thick_bars
from pipelines.training.symbols.lettering import fingerings, words
from services.omr.contract import HIGHEST_POSITION, STAFF_SPACE_PX
from services.omr.vocabulary import ACCIDENTALS, BARLINES, CLASS_INDEX, HEADS

_SCALE: Final = STAFF_SPACE_PX / ENGRAVED_SPACE_PX
_STAND_ON_STAVES: Final = [CLASS_INDEX[kind] for kind in (*HEADS, *ACCIDENTALS)]
_HEADS: Final = [CLASS_INDEX[kind] for kind in HEADS]
_BARLINES: Final = [CLASS_INDEX[kind] for kind in BARLINES]
#: Positions beyond this may belong to a nearer staff; one is nearer only if by this many positions.
_FAR: Final = 11
_NEARER: Final = 4
#: Shares of tiles that get fingerings, and words, beside those that the page has.
_FINGERED: Final = 0.2
_WORDED: Final = 0.3
#: Resolutions at which damage is done, in px of the tile.
_WORKING_PX: Final = (1.0, 1.3, 1.6, 1.6, 1.9)


def on_nearest_staff(page: EngravedPage) -> EngravedPage:
    """The page with heads and accidentals told from the staff they lie nearest to.

    The engraver tells a note of the other hand's voice from its home staff, which nobody can see.
    """
    symbols = page.symbols.copy()
    position = symbols["position"].astype(int)
    far = (np.abs(position) > _FAR) & (np.abs(position) <= HIGHEST_POSITION + 30)
    for index in np.flatnonzero(far & np.isin(symbols["kind"], _STAND_ON_STAVES)):
        x, y = symbols["x"][index], symbols["y"][index]
        near = page.staves[(page.staves["left"] - 20 <= x) & (page.staves["right"] + 20 >= x)]
        if len(near) == 0:
            continue
        from_each = (near["y"] - y) / (ENGRAVED_SPACE_PX / 2)
        best = int(np.argmin(np.abs(from_each)))
        if abs(from_each[best]) < abs(position[index]) - _NEARER:
            symbols["position"][index] = round(float(from_each[best]))
    return EngravedPage(page.image, symbols, page.staves, page.measures)


@dataclass(frozen=True)
class _View:
    """How a tile looks at a page: `linear` @ page + `shift`, then bent.

    Attributes:
        linear: [2, 2], px of the page to px of the tile.
        shift: [2], px of the tile.
        bend: float32 [5, 5, 2]: how far to the side a point of the tile is fetched from, in px of the tile,
            on a grid over it; None is straight.
    """

    linear: NDArray[np.float64]
    shift: NDArray[np.float64]
    bend: NDArray[np.float32] | None
    tile_px: int

    def _bent_by(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.bend is None:
            return np.zeros_like(points)
        # The grid is stretched over the tile as `fetch` stretches it.
        at = ((points + 0.5) * 5 / self.tile_px - 0.5).astype(np.float32)
        moved = cv2.remap(
            self.bend, at[:, None, 0], at[:, None, 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return moved[:, 0].astype(np.float64)

    def place(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Where points [n, 2] of the page lie in the tile."""
        flat = points.astype(np.float64) @ self.linear.T + self.shift
        if len(flat) == 0:
            return flat
        # cv2.remap knows no more than 32,767 rows, and nobody needs points far outside.
        return flat - self._bent_by(flat - self._bent_by(flat))

    def fetch(self, image: NDArray[np.uint8], px: float) -> NDArray[np.uint8]:
        """The tile at `px` times its resolution."""
        side = int(self.tile_px * px)
        matrix = np.hstack([self.linear, self.shift[:, None]]) * px
        if self.bend is None:
            how = cv2.INTER_AREA if px < 1.2 else cv2.INTER_LINEAR
            return cv2.warpAffine(image, matrix, (side, side), flags=how, borderValue=255)
        back = cv2.invertAffineTransform(matrix).astype(np.float32)
        bend = cv2.resize(self.bend * np.float32(px), (side, side), interpolation=cv2.INTER_LINEAR)
        across = np.arange(side, dtype=np.float32)
        x, y = bend[..., 0] + across, bend[..., 1] + across[:, None]
        from_x = back[0, 0] * x + back[0, 1] * y + back[0, 2]
        from_y = back[1, 0] * x + back[1, 1] * y + back[1, 2]
        return cv2.remap(image, from_x, from_y, cv2.INTER_LINEAR, borderValue=255)


def _view(random: np.random.Generator, centre: NDArray[np.float64], tile_px: int, bent: bool) -> _View:
    """A random look at what lies around `centre` of the page."""
    if not bent:
        linear = np.eye(2) * _SCALE
    else:
        size = np.clip(math.exp(random.normal(0, 0.055)), 0.85, 1.15)
        squeeze = random.uniform(0.9, 1.1)
        angle, shear = math.radians(random.normal(0, 0.5)), random.normal(0, 0.01)
        cosine, sine = math.cos(angle), math.sin(angle)
        linear = _SCALE * size * np.array([[squeeze * cosine, -sine + shear], [squeeze * sine, cosine]])
    shift = tile_px / 2 - linear @ centre
    bend = None
    if bent and random.random() < 0.4:
        bend = random.normal(0, random.uniform(0.4, 1.8), (5, 5, 2)).astype(np.float32)
    return _View(linear, shift, bend, tile_px)


def _lines(view: _View, page: EngravedPage) -> list[NDArray[np.float32]]:
    """Middle lines of the page's staves in the tile."""
    lines = []
    for staff in page.staves:
        across = np.linspace(staff["left"], staff["right"], 80)
        line = view.place(np.stack([across, np.full_like(across, staff["y"])], 1))
        if np.any((line[:, 1] > -20) & (line[:, 1] < view.tile_px + 20)):
            lines.append(line.astype(np.float32))
    return lines


def _damaged(
    random: np.random.Generator,
    view: _View,
    page: EngravedPage,
    symbols: NDArray[np.void],
    lines: list[NDArray[np.float32]],
) -> NDArray[np.uint8]:
    px = float(random.choice(_WORKING_PX))
    ink: Ink = 1 - view.fetch(page.image, px).astype(np.float32) / 255
    if random.random() < 0.12:
        black_edge(random, ink, px)
    if random.random() < 0.2:
        bars = symbols[np.isin(symbols["kind"], _BARLINES)]
        thick_bars(random, ink, np.stack([bars["x"], bars["y"], bars["height"]], 1) * px, px)
    space_px = STAFF_SPACE_PX * px
    if random.random() < _FINGERED:
        heads = symbols[np.isin(symbols["kind"], _HEADS)]
        fingerings(random, ink, np.stack([heads["x"], heads["y"]], 1) * px, space_px)
    if random.random() < _WORDED:
        words(random, ink, space_px)
    ink = damage(random, ink, px, [line * px for line in lines])
    if len(ink) != view.tile_px:
        ink = cv2.resize(ink, (view.tile_px, view.tile_px), interpolation=cv2.INTER_AREA)
    return np.round(np.clip(255 - 255 * ink, 0, 255)).astype(np.uint8)


@dataclass(frozen=True)
class Tile:
    """A tile and what lies in it, in px of the tile.

    Attributes:
        image: uint8 [T, T], 255 is paper.
        symbols: `SYMBOL_FIELDS`.
        lines: middle lines of staves: points (x, y) [n, 2] from left to right.
    """

    image: NDArray[np.uint8]
    symbols: NDArray[np.void]
    lines: list[NDArray[np.float32]]


def cut(
    random: np.random.Generator, page: EngravedPage, centre: NDArray[np.float64], tile_px: int, clean: bool
) -> Tile:
    """The tile around `centre` (x, y) of a page; bent and damaged unless it is to be `clean`."""
    view = _view(random, centre, tile_px, not clean)
    symbols = page.symbols.copy()
    placed = view.place(np.stack([symbols["x"], symbols["y"]], 1))
    symbols["x"], symbols["y"] = placed.T
    symbols["width"] *= abs(view.linear[0, 0])
    symbols["height"] *= abs(view.linear[1, 1])
    margin = 100.0
    inside = np.all((placed > -margin) & (placed < tile_px + margin), 1)
    symbols = symbols[inside]
    lines = _lines(view, page)
    if clean:
        image = view.fetch(page.image, 1.6)
        image = cv2.resize(image, (tile_px, tile_px), interpolation=cv2.INTER_AREA)
    else:
        image = _damaged(random, view, page, symbols, lines)
    return Tile(image, symbols, lines)
