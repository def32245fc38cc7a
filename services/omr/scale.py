"""How large, how tilted and which way round the music stands in a picture, told by its staff lines.

Where a column of pixels crosses a staff away from notes it meets five thin runs of ink at even distances.
Little else on a page does so. Such crossings tell the staff space (the idea of run-length pairs, Fujinaga,
Optical Music Recognition of staves, 2004; Cardoso & Rebelo, doi:10.1109/ICPR.2010.458, made stricter), and as
points in the plane they tell the tilt; whether columns or rows meet more of them tells whether the page lies
on its side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from services.omr.page import FloatArray

Gray = NDArray[np.uint8]

#: Columns (or rows) that are looked at.
_COLUMNS: Final = 480
#: Broken lines are bridged by looking at a few columns together; ink is darker than this (255 is paper).
_BRIDGE_PX: Final = 5
_INK: Final = 176
#: Ink higher than this is no line; ink is summed over strips this wide; and less of it than this share of the
#: most is not looked at.
_THICK_PX: Final = 7
_STRIP_PX: Final = 32
_SPECK: Final = 0.2
#: Smallest and largest staff space, in px.
_LEAST_SPACE_PX: Final = 3.5
_LARGEST_SPACE_PX: Final = 120.0
#: How far the four distances of a crossing may lie apart: so many px, or this share of their mean.
_UNEVEN_PX: Final = 1.6
_UNEVEN: Final = 0.18
#: Thickest line of a crossing, in staff spaces.
_THICKEST: Final = 0.45
#: A staff space is believed if so many crossings agree on it, ...
_LEAST_CROSSINGS: Final = 24
#: (fewer than these, and lines are bridged further)
_ENOUGH_CROSSINGS: Final = 240
#: ... to within this share of it.
_SPREAD: Final = 0.12
#: Most that a page is tilted, in degrees, beyond quarter turns.
_MOST_TILT: Final = 30.0


@dataclass(frozen=True, slots=True)
class Scale:
    """What the staff lines of a picture tell of it.

    Attributes:
        space_px: staff space, in px of the picture.
        tilt: slope of the staves, y over x, in the picture after a quarter turn to the left if on its side.
        on_its_side: whether the staves run down the picture, not across.
        evidence: how many crossings agree; where there are few, how strongly thin ink repeats, 0 to 4.
    """

    space_px: float
    tilt: float
    on_its_side: bool
    evidence: float

    @property
    def broken(self) -> bool:
        """Whether hardly any column crosses five whole lines."""
        return self.evidence < _ENOUGH_CROSSINGS


def find_scale(even: Gray) -> Scale | None:
    """Tell how large and how tilted the staves are.

    Args:
        even: uint8 [h, w], of even light: 255 is paper.

    Returns:
        None where nothing on the page looks like a staff.
    """
    ways = even, np.ascontiguousarray(np.rot90(even))
    found = [_scale_by_crossings(way, side) for side, way in enumerate(ways)]
    best = max((each for each in found if each), key=lambda each: each.evidence, default=None)
    if best is None or best.broken:
        found = [_scale_by_repetition(way, side) for side, way in enumerate(ways)]
        best = max((each for each in found if each), key=lambda each: each.evidence, default=best)
    return best


def _scale_by_crossings(even: Gray, on_its_side: int) -> Scale | None:
    points, spaces = _crossings(even)
    if not spaces.size:
        return None
    counts = np.bincount(np.round(spaces * 4).astype(int))
    # Neighbouring bins together, the wider the larger the space: a share of it.
    wide = np.array(
        [counts[round(i * (1 - _SPREAD)) : round(i * (1 + _SPREAD)) + 1].sum() for i in range(counts.size)]
    )
    mode = int(np.argmax(wide)) / 4
    agree = np.abs(spaces - mode) <= max(_SPREAD * mode, 0.25)
    if not agree.any():
        return None
    space = float(np.median(spaces[agree]))
    agree = np.abs(spaces - space) <= 2 * _SPREAD * space
    if np.count_nonzero(agree) < _LEAST_CROSSINGS:
        return None
    tilt = _tilt(points[agree], space)
    # The distance was measured along columns, not across the lines.
    return Scale(space / float(np.hypot(1, tilt)), tilt, bool(on_its_side), float(np.count_nonzero(agree)))


def _scale_by_repetition(even: Gray, on_its_side: int) -> Scale | None:
    """Find at what distance thin ink repeats down the page, over all of it.

    Where thresholding left of the lines mere dashes, no column crosses five of them; but all together they
    still repeat at one distance.
    """
    height, width = even.shape
    ink = 255 - even
    thin = ink - cv2.morphologyEx(ink, cv2.MORPH_OPEN, np.ones((_THICK_PX, 1), np.uint8))
    strips = cv2.resize(thin, (max(1, width // _STRIP_PX), height), interpolation=cv2.INTER_AREA)
    profile = strips.astype(np.float32) - cv2.blur(strips, (1, 2 * _THICK_PX + 1)).astype(np.float32)
    spectrum = np.fft.rfft(profile, 2 * height, axis=0)
    repeats = np.fft.irfft((np.abs(spectrum) ** 2).sum(1))[: 5 * int(_LARGEST_SPACE_PX)]
    lags = np.arange(2 * _LEAST_SPACE_PX, min(_LARGEST_SPACE_PX, height / 5), 0.1)
    at = np.arange(repeats.size)
    if not lags.size or repeats[0] <= 0:
        return None
    # Five lines: four pairs are one space apart, three two, two three, one four.
    teeth = np.min([np.interp(k * lags, at, repeats) * 5 / (5 - k) for k in (1, 2, 3, 4)], axis=0)
    gaps = np.max([np.interp((k - 0.5) * lags, at, repeats) for k in (1, 2, 3, 4)], axis=0)
    best = int(np.argmax(teeth - gaps))
    space, strength = float(lags[best]), float((teeth - gaps)[best] / repeats[0])
    rows, columns = np.nonzero(profile > _SPECK * max(1.0, float(profile.max())))
    points = np.stack([(columns + 0.5) * _STRIP_PX, rows], 1).astype(np.float64)
    return Scale(space, _tilt(points, space), bool(on_its_side), strength)


def _crossings(even: Gray) -> tuple[FloatArray, FloatArray]:
    """Find where columns cross staves: middle lines' points (x, y) [n, 2] and staff spaces [n], in px."""
    height, width = even.shape
    step = max(1, width // _COLUMNS)
    blurred = cv2.blur(even, (_BRIDGE_PX, 1), borderType=cv2.BORDER_REPLICATE)[:, step // 2 :: step]
    ink = np.zeros((blurred.shape[1], height + 2), np.int8)
    ink[:, 1:-1] = blurred.T < _INK
    edges = np.diff(ink, axis=1)
    column, start = np.nonzero(edges == 1)
    end = np.nonzero(edges == -1)[1]
    if column.size < 5:
        return np.empty((0, 2)), np.empty(0)
    centre, thickness = (start + end - 1) / 2, end - start
    distance = np.diff(centre)
    four = np.stack([distance[i : i + column.size - 4] for i in range(4)])
    space = four.mean(0)
    thick = np.stack([thickness[i : i + column.size - 4] for i in range(5)]).max(0)
    uneven = four.max(0) - four.min(0)
    good = (
        (column[4:] == column[:-4])
        & (uneven <= np.maximum(_UNEVEN_PX, _UNEVEN * space))
        & (space >= _LEAST_SPACE_PX)
        & (space <= _LARGEST_SPACE_PX)
        & (thick <= np.maximum(2, _THICKEST * space))
    )
    x = column[:-4][good] * step + step // 2
    return np.stack([x, centre[2:-2][good]], 1).astype(np.float64), space[good]


def _tilt(points: FloatArray, space: float) -> float:
    """Find the slope along which most points line up."""

    def sharpness(slope: float) -> float:
        """How much the points gather in few rows when the slope is taken away."""
        rows = np.round((points[:, 1] - slope * points[:, 0]) / (space / 4)).astype(int)
        return float((np.bincount(rows - rows.min()).astype(float) ** 2).sum())

    most = np.tan(np.radians(_MOST_TILT))
    best = 0.0
    for reach, step in ((most, 0.01), (0.01, 0.002)):
        slopes = best + np.arange(-reach, reach + step / 2, step)
        best = float(slopes[int(np.argmax([sharpness(float(each)) for each in slopes]))])
    return best
