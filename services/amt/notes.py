"""The model's posteriors to notes.

An onset is a peak of the onset posterior summed over three neighbouring frames; a parabola through the
sum and its neighbours places it between frames, which is exact for the triangular targets that the model
is trained on (for targets that carry the time see Kong et al. 2021, "High-resolution piano transcription
with pedals by regressing onset and offset times"). A note ends at a peak of the offset posterior, where the
frame posterior stays low, or at the next onset of its pitch. All of it is numpy over the few cells above a
threshold: an hour of audio takes about a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.amt.contract import FRAME, FRAME_S, LOWEST_PITCH, OFFSET, ONSET, PITCHES, VELOCITY
from services.music.notes import Note

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

#: The value of a posterior of 1.
_ONE: Final = 255
#: Sum of three neighbouring frames of an onset target whose peak lies on a frame: 0.6 + 1 + 0.6.
_PERFECT_ONSET: Final = 2.2
#: Onsets are told to a tenth of a millisecond.
_ONSET_DIGITS: Final = 4
#: Peaks of one pitch are further apart than this many frames.
_REACH: Final = 2


@dataclass(frozen=True, slots=True)
class DecodingThresholds:
    """Where notes begin and end; a model's card carries the values that suit it.

    Attributes:
        onset: least sum of three neighbouring onset posteriors, 0 to 3.
        offset: least sum of three neighbouring offset posteriors, 0 to 3.
        frame: a frame posterior below this is low, 0 to 1.
        low_frames: so many low frames in a row end a note.
        attack_frames: frames from the onset on in which low frames do not end a note yet.
        shortest_s: least duration of a note, in seconds.
    """

    onset: float = 1.0
    offset: float = 1.0
    frame: float = 0.3
    low_frames: int = 2
    attack_frames: int = 2
    shortest_s: float = 0.03

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> DecodingThresholds:
        """Read a model card's `thresholds`; those it does not name keep their default."""
        named = card.get("thresholds", {})
        return cls(**{f.name: named[f.name] for f in fields(cls) if f.name in named})


def find_notes(
    posteriors: NDArray[np.uint8], thresholds: DecodingThresholds = DecodingThresholds()
) -> list[Note]:
    """Read the notes from posteriors uint8 [4, T, 88], sorted by onset, then pitch."""
    frames = posteriors.shape[1]
    onset_sum = _sum_of_three(posteriors[ONSET])
    onsets = _peaks(onset_sum, thresholds.onset)
    if not onsets.size:
        return []
    offset_sum = _sum_of_three(posteriors[OFFSET])
    offsets = _peaks(offset_sum, thresholds.offset)

    onset_s = (_row(onsets) + _between_frames(onset_sum, onsets)) * FRAME_S
    # Rounded before notes are ordered by it, so that the order holds in answers, which tell no more digits.
    onset_s = onset_s.clip(min=0).round(_ONSET_DIGITS)
    end_s = _end_times_s(posteriors[FRAME], onsets, offsets, _between_frames(offset_sum, offsets), thresholds)
    next_onset_s = _next_onset_times_s(onsets, onset_s, frames)
    # The next onset of the pitch ends a note always, the least duration only prolongs it up to there.
    offset_s = np.minimum(np.maximum(end_s, onset_s + thresholds.shortest_s), next_onset_s)

    strength = onset_sum.ravel()[onsets + _REACH * PITCHES]
    confidence = np.minimum(strength / (_PERFECT_ONSET * _ONE), 1.0)
    velocity = _velocities(posteriors, onsets)
    order = np.lexsort((_pitch(onsets), onset_s))
    columns = (onset_s, offset_s, _pitch(onsets) + LOWEST_PITCH, velocity, confidence)
    return [Note(*values) for values in zip(*(column[order].tolist() for column in columns), strict=True)]


def _row(cells: Ints) -> Ints:
    return cells // PITCHES


def _pitch(cells: Ints) -> Ints:
    return cells % PITCHES


def _sum_of_three(posterior: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Sum each frame and its neighbours; uint16 [T + 2 * _REACH, 88], zero frames at both ends."""
    frames = posterior.shape[0]
    total = np.zeros((frames + 2 * _REACH, PITCHES), np.uint16)
    inside = total[_REACH : _REACH + frames]
    inside += posterior
    inside[1:] += posterior[:-1]
    inside[:-1] += posterior[1:]
    if frames > 1:
        # Beyond the ends the posterior is taken to go on as a line, so that a peak may lie on an end.
        inside[0] += _continued(posterior[1], posterior[0])
        inside[-1] += _continued(posterior[-2], posterior[-1])
    return total


def _continued(inner: NDArray[np.uint8], last: NDArray[np.uint8]) -> NDArray[np.uint16]:
    return (2 * last.astype(np.int16) - inner).clip(0, _ONE).astype(np.uint16)


def _peaks(total: NDArray[np.uint16], threshold: float) -> Ints:
    """Find the cells (frame * 88 + pitch) that no cell within _REACH frames exceeds; of equals the first."""
    flat = total.ravel()
    cells = np.flatnonzero(flat >= max(round(threshold * _ONE), 1))
    value = flat[cells]
    highest = np.ones(cells.size, bool)
    for distance in range(1, _REACH + 1):
        highest &= value > flat[cells - distance * PITCHES]
        highest &= value >= flat[cells + distance * PITCHES]
    return cells[highest] - _REACH * PITCHES


def _between_frames(total: NDArray[np.uint16], cells: Ints) -> Floats:
    """Where the parabola through a peak and its neighbours is highest, in frames from the peak's."""
    padded = cells + _REACH * PITCHES
    flat = total.ravel()
    before, peak, after = (flat[padded + shift * PITCHES].astype(np.float64) for shift in (-1, 0, 1))
    curvature = before - 2 * peak + after
    at_an_end = (_row(cells) == 0) | (_row(cells) == total.shape[0] - 2 * _REACH - 1)
    shift = np.divide(
        0.5 * (before - after), curvature, out=np.zeros_like(peak), where=(curvature < 0) & ~at_an_end
    )
    return shift.clip(-0.5, 0.5)


def _by_pitch(cells: Ints, frames: int) -> Ints:
    """Keys that sort cells by pitch, then time; `frames + 1` rows a pitch leave room for the end."""
    return _pitch(cells) * (frames + 1) + _row(cells)


def _end_times_s(
    frame: NDArray[np.uint8],
    onsets: Ints,
    offsets: Ints,
    offset_shift: Floats,
    thresholds: DecodingThresholds,
) -> Floats:
    """Where each note ends by its own offset peak or its low frames, whichever is first."""
    frames = frame.shape[0]
    onset_key = _by_pitch(onsets, frames)
    last_key = _pitch(onsets) * (frames + 1) + frames

    offset_key = _by_pitch(offsets, frames)
    order = np.argsort(offset_key)
    found = np.searchsorted(offset_key[order], onset_key, side="right")
    keys = np.append(offset_key[order], np.iinfo(np.int64).max)
    shifts = np.append(offset_shift[order], 0.0)
    peak_row = np.where(keys[found] < last_key, keys[found] - _pitch(onsets) * (frames + 1), 2 * frames)
    low_row = _first_low_rows(frame, onsets, thresholds)
    # A peak just after the fall of the frame posterior tells the same end, and more exactly.
    at_peak = peak_row <= low_row + thresholds.low_frames
    return np.where(at_peak, peak_row + shifts[found], low_row - 0.5) * FRAME_S


def _first_low_rows(frame: NDArray[np.uint8], onsets: Ints, thresholds: DecodingThresholds) -> Ints:
    """First frame, after a note's attack, of `low_frames` low ones in a row; the end counts as low."""
    frames = frame.shape[0]
    low = np.ones((frames + thresholds.low_frames, PITCHES), bool)
    np.less(frame, thresholds.frame * _ONE, out=low[:frames])
    run = low[: frames + 1].copy()
    for ahead in range(1, thresholds.low_frames):
        run &= low[ahead : frames + 1 + ahead]
    by_pitch = np.ascontiguousarray(run.T).ravel()
    starts = np.flatnonzero(by_pitch[1:] & ~by_pitch[:-1]) + 1
    first = np.minimum(_row(onsets) + thresholds.attack_frames, frames)
    first_key = _pitch(onsets) * (frames + 1) + first
    # Every pitch ends with a low frame, so where the first is not low, a start follows.
    following = np.append(starts, first_key.max())[np.searchsorted(starts, first_key)]
    return np.where(by_pitch[first_key], first, following - _pitch(onsets) * (frames + 1))


def _next_onset_times_s(onsets: Ints, onset_s: Floats, frames: int) -> Floats:
    """When the next note of the same pitch begins; infinite for the last."""
    order = np.argsort(_by_pitch(onsets, frames))
    following = np.full(onsets.size, np.inf)
    same_pitch = _pitch(onsets[order][:-1]) == _pitch(onsets[order][1:])
    following[order[:-1]] = np.where(same_pitch, onset_s[order][1:], np.inf)
    return following


def _velocities(posteriors: NDArray[np.uint8], onsets: Ints) -> Ints:
    """Mean of the velocity head over the three frames of the onset, weighted by the onset posterior."""
    last = posteriors.shape[1] - 1
    weight = np.zeros(onsets.size)
    total = np.zeros(onsets.size)
    for shift in (-1, 0, 1):
        rows = (_row(onsets) + shift).clip(0, last)
        onset = posteriors[ONSET][rows, _pitch(onsets)].astype(np.float64)
        total += onset * posteriors[VELOCITY][rows, _pitch(onsets)]
        weight += onset
    return np.rint(total / weight / _ONE * 127).clip(1, 127).astype(np.int64)
