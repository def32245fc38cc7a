"""Straightening: a page, however it was scanned or photographed, with its staves level and 10 px a space.

The first step is rigid: quarter turns, tilt and scale, as staff lines show them (`scale`). Then the page is
bent: combs laid over it (`comb`) tell the slope and the staff space wherever there is a staff, smooth
surfaces are fitted to both (`warp`), and the page is drawn again, straighter; this a few times, as one page
may need much bending. Perspective, curl and uneven scanning are all met by the same surfaces. The picture
is sampled once, at the end, from the original.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from services.omr.comb import lay_combs, lines_of
from services.omr.contract import STAFF_SPACE_PX
from services.omr.light import even_light
from services.omr.page import FloatArray, PreparedPage
from services.omr.scale import find_scale
from services.omr.staves import reach
from services.omr.tracks import Track, find_tracks, support
from services.omr.upright import uprightness
from services.omr.warp import Slopes, Surface, fit_surface

Gray = NDArray[np.uint8]

#: Spacing of the map's points, in px of the prepared page.
GRID_PX: Final = 20
#: Where nothing tells the staff space: that of a page 140 spaces high and wide.
_PAGE_SPACES: Final = 140.0
#: A page that would be larger has no staves, only what looks like tiny ones: px, and px of its longer side,
#: which is also the most that OpenCV can sample from.
_MOST_PIXELS: Final = 24_000_000
_MOST_SIDE_PX: Final = 30_000
#: A slope is read off points of a staff up to so far to either side, in px.
_NEAR_PX: Final = 130.0
#: A page whose combs are fewer is not bent.
_LEAST_COMBS: Final = 6
#: Turned by 45 degrees, a page of A4 lies in a square of 2.1 times its area, and no lens stretches it more.
#: What would make it larger was seen where there are no staves.
_MOST_GROWTH: Final = 2.5


#: A page that did not lie on its side is turned over only if so much speaks against its being upright.
_UPSIDE_DOWN: Final = -0.05


@dataclass(frozen=True, slots=True)
class _Round:
    """One time of laying combs and bending.

    Attributes:
        slopes: most slope and step that are tried, y over x.
        spaces: most deviation of the staff space and step, as shares.
        stiffness: of the surfaces.
        straight_already: whether staves are nearly level, so that neighbouring combs can support each other.
    """

    slopes: tuple[float, float]
    spaces: tuple[float, float]
    stiffness: float
    straight_already: bool


_ROUNDS: Final = (
    _Round((0.09, 0.015), (0.24, 0.08), 3e-6, straight_already=False),
    _Round((0.03, 0.006), (0.06, 0.06), 1e-6, straight_already=True),
)
#: Where lines are broken one can only look closely, around where they should be.
_BROKEN_ROUNDS: Final = (_Round((0.012, 0.004), (0.05, 0.05), 1e-5, straight_already=True),)
#: How far off the fitted surface slopes and staff spaces may lie before they count as mistakes; and the
#: weight of a staff space, which is read less exactly than a slope.
_SLOPE_SPREAD: Final = 0.02
_SPACE_SPREAD: Final = 0.06
_SPACE_WEIGHT: Final = 0.03


@dataclass(frozen=True, slots=True)
class _Bend:
    """Moves the points of a straighter page to those of a less straight one.

    Attributes:
        across, down: how far points are moved along x and y, in px; None where the page is not bent.
        left, top: added before that: where the new page begins.
    """

    across: Surface
    down: Surface
    left: float
    top: float

    def __call__(self, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        x, y = x + self.left, y + self.top
        return x + self.across(x, y), y + self.down(x, y)


@dataclass(frozen=True, slots=True)
class Warp:
    """Where the points of the straight page lie in the picture.

    Attributes:
        width, height: of the straight page, in px, 10 to a staff space.
        x, y: float64 [rows, columns]: where (column * GRID_PX, row * GRID_PX) lies in the picture, in px.
    """

    width: int
    height: int
    x: FloatArray
    y: FloatArray

    def straighten(self, picture: Gray, space_px: float = STAFF_SPACE_PX) -> Gray:
        """Draw the straight page, at a staff space of `space_px`; paper (255) where the picture has none."""
        factor = space_px / STAFF_SPACE_PX
        grids = self.x, self.y
        if max(picture.shape) > _MOST_SIDE_PX:
            height, width = (min(each, _MOST_SIDE_PX) for each in picture.shape)
            smaller = width / picture.shape[1], height / picture.shape[0]
            grids = (self.x + 0.5) * smaller[0] - 0.5, (self.y + 0.5) * smaller[1] - 0.5
            picture = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        # Sampled more finely than the picture, then averaged, so that thin lines keep their weight.
        spread = float(np.hypot(np.diff(self.x, axis=1), np.diff(self.y, axis=1)).mean()) / GRID_PX
        fine = int(np.clip(np.ceil(spread / factor - 0.2), 1, 3))
        width, height = max(1, round(self.width * factor)), max(1, round(self.height * factor))
        fine = max(1, min(fine, _MOST_SIDE_PX // width))
        step = 1 / (fine * factor)
        columns = ((np.arange(width * fine) + 0.5) * step - 0.5) / GRID_PX
        rows = ((np.arange(height * fine) + 0.5) * step - 0.5) / GRID_PX
        drawn = np.empty((height, width), np.uint8)
        band = 512
        for top in range(0, height, band):
            here = rows[top * fine : (top + band) * fine]
            maps = [_dense(grid, here, columns) for grid in grids]
            part = cv2.remap(
                picture, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=255
            )
            size = (width, here.size // fine)
            drawn[top : top + band] = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
        return drawn


def prepare(gray: Gray) -> PreparedPage:
    """Make a page ready for the model: light evened, the right way up, straight, at 10 px a staff space.

    Args:
        gray: uint8 [h, w], any picture at all. Without staves the staff space is guessed.
    """
    even = even_light(gray)
    warp = find_warp(even)
    return PreparedPage(
        image=warp.straighten(even),
        upload_size=(gray.shape[1], gray.shape[0]),
        grid_px=float(GRID_PX),
        upload_x=warp.x,
        upload_y=warp.y,
    )


def find_warp(even: Gray) -> Warp:
    """Find how a page is to be straightened.

    Args:
        even: uint8 [h, w], of even light: 255 is paper.
    """
    scale = find_scale(even)
    if scale is not None and not _fits(even, scale.space_px):
        scale = None
    space = scale.space_px if scale else float(np.sqrt(even.size)) / _PAGE_SPACES
    if not _fits(even, space):
        space = STAFF_SPACE_PX * max(even.shape) / _MOST_SIDE_PX
    turns = 1 if scale and scale.on_its_side else 0
    turned = np.ascontiguousarray(np.rot90(even, turns))
    factor = STAFF_SPACE_PX / space
    size = max(1, round(turned.shape[1] * factor)), max(1, round(turned.shape[0] * factor))
    small = np.asarray(
        cv2.resize(turned, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR), np.uint8
    )
    chain = _Chain(small, scale.tilt if scale else 0.0)
    if scale is not None:
        for each in _BROKEN_ROUNDS if scale.broken else _ROUNDS:
            if not chain.bend(each):
                break
        # A page that lies on its side is as likely to lie on the one as on the other.
        if chain.upright() < (0.0 if scale.on_its_side else _UPSIDE_DOWN):
            chain.turn_over()
    x, y = chain.grid()
    x = (x + 0.5) * (turned.shape[1] / small.shape[1]) - 0.5
    y = (y + 0.5) * (turned.shape[0] / small.shape[0]) - 0.5
    if turns:
        x, y = even.shape[1] - 1 - y, x
    return Warp(chain.width, chain.height, x, y)


def _weighed(page: Gray, lines: NDArray[np.float32], tracks: Sequence[Track]) -> float:
    """How much speaks for a page being the right way up."""
    return uprightness(page, [(track, reach(lines, None, track.x, track.y)) for track in tracks])


def _fits(even: Gray, space: float) -> bool:
    """Whether a page can be brought to 10 px a staff space within the limits."""
    factor = STAFF_SPACE_PX / space
    return even.size * factor**2 <= _MOST_PIXELS and max(even.shape) * factor <= _MOST_SIDE_PX


class _Chain:
    """A picture at 10 px a staff space, and the bends that straighten it one after another."""

    def __init__(self, picture: Gray, tilt: float) -> None:
        self._picture = picture
        self._turned_over = False
        self._upright: Callable[[], float] = lambda: 0.0
        self._bends: list[_Bend] = []
        height, width = picture.shape
        corners = np.array([(0, 0), (width, 0), (0, height), (width, height)], np.float64)
        self._turn = _turn(tilt)
        level = corners @ self._turn
        if np.ptp(level, axis=0).prod() > _MOST_GROWTH * picture.size:
            self._turn, level = _turn(0.0), corners
        self._corner = level.min(0)
        self.width, self.height = (max(1, int(np.ceil(each))) for each in np.ptp(level, axis=0))

    def grid(self) -> tuple[FloatArray, FloatArray]:
        """Where the points of the straight page's grid lie in the picture."""
        columns, rows = self.width // GRID_PX + 2, self.height // GRID_PX + 2
        x, y = np.meshgrid(np.arange(columns) * float(GRID_PX), np.arange(rows) * float(GRID_PX))
        if self._turned_over:
            x, y = self.width - 1 - x, self.height - 1 - y
        for bend in reversed(self._bends):
            x, y = bend(x, y)
        points = (np.stack([x, y], -1) + self._corner) @ self._turn.T
        return points[..., 0], points[..., 1]

    def bend(self, how: _Round) -> bool:
        """Lay combs over the page and bend it so that they would lie level; False where they do not tell."""
        page = Warp(self.width, self.height, *self.grid()).straighten(self._picture)
        slopes, spaces = _around(0.0, *how.slopes), STAFF_SPACE_PX * _around(1.0, *how.spaces)
        lines = lines_of(page)
        combs = lay_combs(lines, slopes, spaces)
        if how.straight_already:
            combs = replace(combs, fit=support(combs.fit))
        tracks = find_tracks(combs, lines)
        if sum(track.x.size for track in tracks) < _LEAST_COMBS:
            return False
        # Only the last round's counts, so it is weighed when all are done.
        self._upright = partial(_weighed, page, lines, tracks)
        return self._add(*_surfaces(tracks, (self.width, self.height), how.stiffness))

    def upright(self) -> float:
        """How much speaks for the page being the right way up, from -1 to 1."""
        return self._upright()

    def turn_over(self) -> None:
        """Turn the page by 180 degrees."""
        self._turned_over = not self._turned_over

    def _add(self, across: Surface, down: Surface) -> bool:
        """Bend the page, and make it as large as it then is; False where that is out of reason."""
        across_page, down_page = np.linspace(0, self.width, 30), np.linspace(0, self.height, 30)
        near, far = np.zeros(30), np.ones(30)
        edges_x = np.concatenate([across_page, across_page, near, far * self.width])
        edges_y = np.concatenate([near, far * self.height, down_page, down_page])
        x, y = edges_x - across(edges_x, edges_y), edges_y - down(edges_x, edges_y)
        width, height = max(1, int(np.ptp(x))), max(1, int(np.ptp(y)))
        if width * height > _MOST_GROWTH * self.width * self.height:
            return False
        self._bends.append(_Bend(across, down, float(x.min()), float(y.min())))
        self.width, self.height = width, height
        return True


def _turn(tilt: float) -> FloatArray:
    """The matrix that turns points so that lines of this slope lie level."""
    angle = np.arctan(tilt)
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    return np.array([[cos, -sin], [sin, cos]])


def _surfaces(tracks: Sequence[Track], size: tuple[int, int], stiffness: float) -> tuple[Surface, Surface]:
    """Displacements along x and y that level the tracks and bring their staff spaces to 10 px."""
    x = np.concatenate([track.x for track in tracks])
    y = np.concatenate([track.y for track in tracks])
    slope = np.concatenate([_slopes_along(track) for track in tracks])
    stretch = np.concatenate([_even(track.space) for track in tracks]) / STAFF_SPACE_PX - 1
    weight = np.concatenate([np.full(track.x.size, min(track.fit, 2.0)) for track in tracks])
    box = (-size[0] * 0.2, -size[1] * 0.2, size[0] * 1.2, size[1] * 1.2)
    stretches = Slopes(x, y, stretch, _SPACE_WEIGHT * weight, _SPACE_SPREAD)
    down = fit_surface(Slopes(x, y, slope, weight, _SLOPE_SPREAD), stretches, box, stiffness)
    # Nothing shows the page's width but that a lens stretches both ways alike, and shears none.
    shear = Slopes(x, y, -slope, _SPACE_WEIGHT * weight, _SLOPE_SPREAD)
    across = fit_surface(stretches, shear, box, stiffness)
    return across, down


def _slopes_along(track: Track) -> FloatArray:
    """Slope of a track at each of its points: that of a line through the points near it."""
    slopes = np.zeros(track.x.size)
    for index, x in enumerate(track.x.tolist()):
        near = np.abs(track.x - x) <= _NEAR_PX
        off = track.x[near] - track.x[near].mean()
        slopes[index] = (off * track.y[near]).sum() / max((off**2).sum(), 1.0)
    return slopes


def _even(values: FloatArray) -> FloatArray:
    """Medians of five neighbours."""
    around = np.pad(values, 2, mode="edge").astype(np.float32)[None]
    return np.asarray(cv2.medianBlur(around, 5)[0, 2:-2], np.float64)


def _around(centre: float, most: float, step: float) -> FloatArray:
    count = round(most / step)
    return np.asarray(centre + step * np.arange(-count, count + 1), np.float64)


def _dense(grid: FloatArray, rows: FloatArray, columns: FloatArray) -> NDArray[np.float32]:
    """Bilinear values of a grid at rows and columns counted in its cells: float32 [rows, columns]."""
    down, across = _shares(rows, grid.shape[0]), _shares(columns, grid.shape[1])
    return np.asarray(down @ grid.astype(np.float32) @ across.T, np.float32)


def _shares(at: FloatArray, count: int) -> NDArray[np.float32]:
    """How much each of a row's points adds to the values at `at`: float32 [n, count]."""
    below = np.clip(np.floor(at).astype(np.intp), 0, count - 2)
    shares = np.zeros((at.size, count), np.float32)
    each = np.arange(at.size)
    shares[each, below], shares[each, below + 1] = 1 - (at - below), at - below
    return shares
