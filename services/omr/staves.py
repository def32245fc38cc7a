"""Staves: the curves of their middle lines, and how far they reach.

Two witnesses are heard: the lines themselves, by combs laid over the page, and the model's map of middle
lines, which knows them where a scan has lost them. From where they agree best a staff is followed to either
side; then its height is refined to a fraction of a pixel, and its ends are sought.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from services.omr.comb import STEP_PX, Combs, lay_combs, lines_of
from services.omr.contract import STAFF_SPACE_PX
from services.omr.page import FloatArray, Staff, Symbol
from services.omr.tracks import Track, find_tracks, support
from services.omr.vocabulary import CLEFS, HEADS, RESTS

Floats = NDArray[np.float32]

#: Slopes and staff spaces that are tried on a page that is straight already.
_SLOPES: Final = np.linspace(-0.025, 0.025, 11)
_SPACES: Final = np.array([9.3, 9.8, 10.2, 10.7])
#: What the map's certainty adds to the combs' fit, which is about 2 on good lines.
_MAP_WEIGHT: Final = 1.5
#: Narrowest page that is looked at, in px.
_LEAST_WIDTH_PX: Final = 120
#: What tells its staff position; how far along the staff it counts, and over how many px of height; how many
#: sure votes are as good as certainty, and what that adds to the combs' fit.
_VOTERS: Final = HEADS | RESTS
_VOTE_REACH_PX: Final = 80
_VOTE_SPREAD_PX: Final = 3
_ENOUGH_VOTES: Final = 2.0
_VOTE_WEIGHT: Final = 0.75
#: Where the model has looked, less than so many sure symbols make no staff; so many px of certainty are as
#: good as a symbol, and a clef so near its left end, in px, is as good as several.
_LEAST_VOTERS: Final = 4.5
_CERTAIN_PX: Final = 200
_CLEF_PX: Final = 80
_CLEF_VOTES: Final = 4
#: Lines that are dark along less than this share of a staff are broken: then the map tells their ends, by
#: where it is at least so sure.
_WHOLE_SHARE: Final = 0.6
_SURE: Final = 0.3
#: Heights of combs are smoothed with those so far to either side, in px.
_NEAR_PX: Final = 100
#: Half of what a comb's height is read from, in px.
_COMB_PX: Final = STEP_PX / 2
#: Lines are looked for so far beyond the outermost combs, in px. They go on where, over a window of so many
#: px, they are at least this share as dark as elsewhere on the staff, but for gaps of at most so many px.
_BEYOND_PX: Final = 100
_END_WINDOW_PX: Final = 25
_END_SHARE: Final = 0.35
_GAP_PX: Final = 120


def find_staves(
    image: NDArray[np.uint8], middle_lines: NDArray[np.uint8] | None, symbols: Sequence[Symbol]
) -> tuple[Staff, ...]:
    """Find the staves of a prepared page, from the top.

    Args:
        image: uint8 [h, w], staff space 10 px.
        middle_lines: uint8 [ceil(h / 4), ceil(w / 4)], how likely a middle line runs through each cell, 0
            to 255; None where the model has not looked.
        symbols: what the model found; where it has looked, a staff without any is none.
    """
    height, width = image.shape
    if height < 5 * STAFF_SPACE_PX or width < _LEAST_WIDTH_PX:
        return ()
    lines = lines_of(image)
    combs = lay_combs(lines, _SLOPES, _SPACES)
    seen: Floats | None = None
    fit = combs.fit
    if middle_lines is not None:
        seen = np.asarray(cv2.resize(middle_lines, (width, height)) / np.float32(255), np.float32)
        fit = combs.fit + _MAP_WEIGHT * _seen(middle_lines, combs) + _VOTE_WEIGHT * _votes(symbols, combs)
    tracks = find_tracks(replace(combs, fit=support(fit)), lines)
    staves = [_staff(track, lines, seen) for track in tracks]
    if seen is not None:
        staves = [staff for staff in staves if _is_read(staff, seen, symbols)]
    return tuple(sorted(staves, key=lambda staff: float(np.mean(staff.y))))


def _votes(symbols: Sequence[Symbol], combs: Combs) -> Floats:
    """Where symbols whose staff position was read say that their staff's middle line is: as `_seen`."""
    votes = np.zeros(combs.fit.shape, np.float32)
    for symbol in symbols:
        row = round(symbol.y + symbol.position * STAFF_SPACE_PX / 2)
        if symbol.kind in _VOTERS and 0 <= row < len(votes):
            near = np.abs(combs.x - symbol.x) <= _VOTE_REACH_PX
            votes[row, near] += symbol.confidence * symbol.position_confidence
    spread = np.asarray(cv2.blur(votes, (1, _VOTE_SPREAD_PX), borderType=cv2.BORDER_CONSTANT), np.float32)
    return np.asarray((spread.reshape(votes.shape) * _VOTE_SPREAD_PX / _ENOUGH_VOTES).clip(0, 1), np.float32)


def _is_read(staff: Staff, seen: Floats, symbols: Sequence[Symbol]) -> bool:
    """Whether the model sees a staff there too, or at least a few symbols that stand on one."""
    x = np.arange(staff.x[0], staff.x[-1])
    rows = np.clip(np.round(np.interp(x, staff.x, staff.y)).astype(int), 0, seen.shape[0] - 1)
    certainty = float(seen[rows, np.clip(x.astype(int), 0, seen.shape[1] - 1)].mean()) if x.size else 0.0
    clef = max(
        (
            symbol.confidence
            for symbol in symbols
            if symbol.kind in CLEFS
            and abs(symbol.x - staff.x[0]) < _CLEF_PX
            and abs(symbol.y - staff.y_at(symbol.x)) < 2 * STAFF_SPACE_PX
        ),
        default=0.0,
    )
    agreeing = _CLEF_VOTES * clef + sum(
        symbol.confidence * symbol.position_confidence
        for symbol in symbols
        if symbol.kind in _VOTERS
        and staff.x[0] - STAFF_SPACE_PX < symbol.x < staff.x[-1] + STAFF_SPACE_PX
        and abs(staff.position_of(symbol.x, symbol.y) - symbol.position) <= 1
    )
    return bool(agreeing + certainty * x.size / _CERTAIN_PX >= _LEAST_VOTERS)


def _seen(middle_lines: NDArray[np.uint8], combs: Combs) -> Floats:
    """The model's certainty at each height of each comb, float32 [height, n], 0 to 1."""
    height, count = combs.fit.shape[0], combs.x.size
    columns = cv2.resize(middle_lines, (count, height), interpolation=cv2.INTER_LINEAR)
    tolerant = np.asarray(cv2.dilate(columns, np.ones((3, 1), np.uint8)), np.float32)
    return np.asarray(tolerant.reshape(height, count) / 255, np.float32)


def _staff(track: Track, lines: Floats, seen: Floats | None) -> Staff:
    """Refine a staff's heights and find its ends."""
    x, y = track.x, track.y
    if y.size >= 5:
        middle = cv2.medianBlur(np.pad(y, 2, mode="edge").astype(np.float32)[None], 5)[0, 2:-2]
        # A comb that strays from its neighbours sat on a slur or a beam.
        y = np.where(np.abs(y - middle) > 1, middle, y)
    left, right = reach(lines, seen, x, y)
    # A comb beyond the end sees the staff from one side alone.
    inside = (x > left + _COMB_PX) & (x < right - _COMB_PX)
    if np.count_nonzero(inside) >= 2:
        x, y = x[inside], y[inside]
    y = _smooth(x, y)
    ends = _along(x, y, np.array([left, right]))
    inside = (x > left) & (x < right)
    return Staff(
        np.concatenate([[left], x[inside], [right]]), np.concatenate([ends[:1], y[inside], ends[1:]])
    )


def _smooth(x: FloatArray, y: FloatArray) -> FloatArray:
    """Heights on lines fitted to the points near each."""
    smooth = y.copy()
    for index, at in enumerate(x.tolist()):
        near = np.abs(x - at) <= _NEAR_PX
        if np.count_nonzero(near) >= 3:
            smooth[index] = np.polyfit(x[near] - at, y[near], 1)[1]
    return smooth


def reach(lines: Floats, seen: Floats | None, x: FloatArray, y: FloatArray) -> tuple[float, float]:
    """Where a staff's lines begin and end, in px: dark all along but for gaps.

    Args:
        lines: float32 [h, w], as `lines_of` gives.
        seen: float32 [h, w], the model's certainty of middle lines, 0 to 1, where it has looked.
        x, y: points of the middle line.
    """
    along = np.arange(max(0.0, x[0] - _BEYOND_PX), min(lines.shape[1] - 1.0, x[-1] + _BEYOND_PX))
    darkness = _darkness(lines, along, x, y)
    least = _END_SHARE * float(np.percentile(darkness, 75))
    if (darkness > least).mean() < _WHOLE_SHARE and seen is not None:
        rows = np.clip(np.round(_along(x, y, along)).astype(int), 0, lines.shape[0] - 1)
        darkness, least = seen[rows, np.round(along).astype(int)].astype(np.float64), _SURE
    smooth = cv2.blur(darkness.astype(np.float32)[None], (_END_WINDOW_PX, 1)).ravel()
    dark = np.flatnonzero(smooth > least)
    if not dark.size:
        return float(x[0]), float(x[-1])
    pieces = np.split(dark, np.flatnonzero(np.diff(dark) > _GAP_PX) + 1)
    longest = max(pieces, key=lambda piece: piece[-1] - piece[0])
    # The window reached half its width beyond the last dark column.
    half = _END_WINDOW_PX // 2
    exact = np.flatnonzero(darkness > least)
    inside = exact[(exact >= longest[0] - half) & (exact <= longest[-1] + half)]
    ends = (inside[0], inside[-1]) if inside.size else (longest[0], longest[-1])
    return float(along[ends[0]]), float(along[ends[1]])


def _darkness(lines: Floats, along: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
    """Mean ink of the five lines less that between them, at points along a staff: [n]."""
    columns = np.clip(np.round(along).astype(int), 0, lines.shape[1] - 1)
    rows = np.round(_along(x, y, along)[:, None] + STAFF_SPACE_PX / 2 * np.arange(-4, 5)).astype(int)
    near = [np.clip(rows + off, 0, lines.shape[0] - 1) for off in (-1, 0, 1)]
    ink = np.max([lines[each, columns[:, None]] for each in near], axis=0)
    return np.asarray(ink[:, ::2].mean(1) - ink[:, 1::2].mean(1), np.float64)


def _along(x: FloatArray, y: FloatArray, at: FloatArray) -> FloatArray:
    """Heights at points of a curve, carried on straight beyond its ends."""
    heights = np.interp(at, x, y)
    for near, beyond in ((slice(0, 4), at < x[0]), (slice(-4, None), at > x[-1])):
        if beyond.any() and x.size >= 3:
            slope, height = np.polyfit(x[near], y[near], 1)
            heights[beyond] = height + slope * at[beyond]
    return np.asarray(heights, np.float64)
