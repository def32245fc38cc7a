"""Truth as the network is to see it: for every frame and key, how near an onset or offset lies.

Onsets and offsets are triangles around their exact times (after Kong et al. 2021), so that a peak
can be placed between two frames; frames are hard. Velocity counts only near onsets.
"""

from __future__ import annotations

import numpy as np

from services.amt.contract import (
    FRAME,
    FRAME_S,
    HEADS,
    LOWEST_PITCH,
    OFFSET,
    ONSET,
    PITCHES,
    VELOCITY,
)

ONSET_SPREAD_S = 0.05
OFFSET_SPREAD_S = 0.06
#: Velocity is asked for where the onset's triangle is at least this high.
VELOCITY_FROM = 0.35


def targets(notes: np.ndarray, start_s: float, frames: int) -> np.ndarray:
    """The targets of one clip.

    Args:
        notes: [notes, 4]: onset s, offset s, MIDI pitch, velocity, in the time of the whole piece.
        start_s: where in the piece the clip's first frame lies.
        frames: length of the clip.

    Returns:
        float32 [4, frames, 88] in the order of `HEADS`; velocity is 0 where it does not count.
    """
    wanted = np.zeros((len(HEADS), frames, PITCHES), np.float32)
    end_s = start_s + frames * FRAME_S
    near = (notes[:, 1] > start_s - OFFSET_SPREAD_S) & (notes[:, 0] < end_s + ONSET_SPREAD_S)
    for onset, offset, pitch, velocity in notes[near]:
        key = int(pitch) - LOWEST_PITCH
        first, last = (onset - start_s) / FRAME_S, (offset - start_s) / FRAME_S
        rise = _triangle(wanted[ONSET, :, key], first, ONSET_SPREAD_S / FRAME_S)
        wanted[VELOCITY, rise, key] = velocity / 127
        _triangle(wanted[OFFSET, :, key], last, OFFSET_SPREAD_S / FRAME_S)
        begin = max(0, int(np.ceil(first)))
        wanted[FRAME, begin : max(begin + 1, int(np.ceil(last))), key] = 1
    return wanted


def _triangle(row: np.ndarray, centre: float, half_width: float) -> np.ndarray:
    """Raise `row` to a triangle around `centre` (in frames); the frames where it is high."""
    begin = max(0, int(np.ceil(centre - half_width)))
    index = np.arange(begin, min(len(row), int(centre + half_width) + 1))
    height = 1 - np.abs(index - centre) / half_width
    row[index] = np.maximum(row[index], height)
    return index[height >= VELOCITY_FROM]
