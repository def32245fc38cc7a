"""Tracks: combs that fit, followed along the staves they stand on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from services.omr.comb import STEP_PX, Combs
from services.omr.page import FloatArray

Floats = NDArray[np.float32]

#: So many combs in a row support one another.
_BESIDE: Final = 9
#: A staff is begun where it fits at least so well, followed while it fits at least so, and believed if it
#: fits so well on the whole.
_BEGIN: Final = 0.55
_FOLLOW: Final = 0.3
_BELIEVE: Final = 0.4
#: Neither is one believed that fits less than this share of what the page's good staves do: of combs in
#: tracks one in five fits better than this percentile.
_BELIEVE_SHARE: Final = 0.4
_GOOD_PERCENTILE: Final = 80
#: Steps without evidence after which a staff ends; and fewest combs of a staff, that make 12 staff spaces.
_GAP_STEPS: Final = 7
_LEAST_COMBS: Final = 3
#: How far from where it is expected a staff may be found, in px.
_STRAY_PX: Final = 2
#: No other staff's middle line is nearer than this, in px.
_APART_PX: Final = 60


@dataclass(frozen=True, slots=True)
class Track:
    """A staff as combs show it.

    Attributes:
        x, y: [n]: points of its middle line, in px; to a fraction of a px.
        space: [n]: its staff space there, in px.
        fit: mean fit of its combs.
    """

    x: FloatArray
    y: FloatArray
    space: FloatArray
    fit: float


def find_tracks(combs: Combs, lines: Floats) -> list[Track]:
    """Follow the staves of a page, the plainest first.

    Args:
        combs: as laid over the page.
        lines: float32 [h, w]: the page's lines, which the combs were laid over.
    """
    fit = combs.fit.copy()
    tracks: list[Track] = []
    while fit.size:
        row, column = (int(each) for each in np.unravel_index(int(np.argmax(fit)), fit.shape))
        if fit[row, column] < _BEGIN:
            break
        columns, rows = _follow(fit, combs, row, column)
        mean = float(fit[rows, columns].mean())
        for at, y in zip(columns.tolist(), rows.tolist(), strict=True):
            fit[max(0, y - _APART_PX) : y + _APART_PX, at] = -np.inf
        if columns.size >= _LEAST_COMBS and mean >= _BELIEVE:
            spaces = combs.space[rows, columns].astype(np.float64)
            x = combs.x[columns]
            y = np.array([height_of(lines, *each) for each in zip(x, rows, spaces, strict=True)])
            tracks.append(Track(x, y, spaces, mean))
    return _believed(tracks)


def _believed(tracks: list[Track]) -> list[Track]:
    """Those that fit about as well as the page's staves do, and do not run through a better one."""
    if not tracks:
        return []
    fits = np.repeat([track.fit for track in tracks], [track.x.size for track in tracks])
    good = float(np.percentile(fits, _GOOD_PERCENTILE))
    kept: list[Track] = []
    for track in sorted(tracks, key=lambda each: -each.fit * each.x.size):
        if track.fit >= _BELIEVE_SHARE * good and not any(_collide(track, other) for other in kept):
            kept.append(track)
    return kept


def _collide(one: Track, other: Track) -> bool:
    both = (one.x >= other.x[0]) & (one.x <= other.x[-1])
    apart = np.abs(one.y[both] - np.interp(one.x[both], other.x, other.y))
    return bool((apart < _APART_PX).mean() > 0.2) if apart.size else False


def support(fit: Floats) -> Floats:
    """The fit of combs on a page that is nearly straight, half their own, half that of those beside them.

    Broken lines need it.
    """
    tolerant = cv2.dilate(fit, np.ones((2 * _STRAY_PX + 1, 1), np.uint8)).reshape(fit.shape)
    positive = np.maximum(tolerant, 0)
    beside = cv2.blur(positive, (_BESIDE, 1), borderType=cv2.BORDER_CONSTANT).reshape(fit.shape)
    return np.asarray((fit + beside) / 2, np.float32)


def _follow(fit: Floats, combs: Combs, row: int, column: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Follow a staff to both sides from where it is plainest: columns and rows of its combs."""
    points = {column: row}
    for direction in (-1, 1):
        y, slope, gap = row, float(combs.slope[row, column]), 0
        at = column + direction
        while 0 <= at < fit.shape[1] and gap <= _GAP_STEPS:
            stray = _STRAY_PX + gap // 2
            expected = round(y + direction * slope * STEP_PX * (gap + 1))
            top = max(0, expected - stray)
            window = fit[top : max(0, expected + stray + 1), at]
            if window.size and window.max() >= _FOLLOW:
                y, gap = top + int(np.argmax(window)), 0
                slope = 0.7 * slope + 0.3 * float(combs.slope[y, at])
                points[at] = y
            else:
                gap += 1
            at += direction
    columns = np.array(sorted(points), np.intp)
    return columns, np.array([points[each] for each in columns.tolist()], np.intp)


def height_of(lines: Floats, x: float, y: float, space: float) -> float:
    """Height of the middle line near a point, to a fraction of a px: where five teeth meet most ink."""
    half = STEP_PX // 2
    profile = lines[:, max(0, round(x) - half) : round(x) + half].mean(1)
    off = np.arange(-2.5, 2.51, 0.25)
    at = y + off[:, None] + space * np.arange(-2, 3)
    ink = np.interp(at, np.arange(profile.size), profile, left=0, right=0).mean(1)
    if ink.max() <= 0:
        return float(y)
    weight = np.maximum(ink - 0.5 * ink.max(), 0)
    best = int(np.argmax(ink))
    near = slice(max(0, best - 4), best + 5)
    return float(y + (weight[near] * off[near]).sum() / weight[near].sum())
