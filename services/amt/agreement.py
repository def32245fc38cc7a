"""How far two transcriptions of one recording agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from services.music.notes import Note

#: Notes are the same up to this distance of their onsets, in seconds, as is usual for transcriptions (Bay et
#: al., ISMIR 2009).
ONSET_TOLERANCE_S: Final = 0.05
#: Times are told in tenths of milliseconds: what rounds to the tolerance is within it.
_WITHIN_S: Final = ONSET_TOLERANCE_S + 0.5e-4


def note_f1(ours: Sequence[Note], theirs: Sequence[Note]) -> float:
    """Compute the F1 of two transcriptions' notes, which is the same either way round.

    Two notes match that have one pitch and onsets within ONSET_TOLERANCE_S; each matches one at most. Where
    neither has notes, they agree: 1.
    """
    if not ours and not theirs:
        return 1.0
    onsets = _onsets(theirs)
    matched = sum(_matches(mine, onsets.get(pitch, [])) for pitch, mine in _onsets(ours).items())
    return 2 * matched / (len(ours) + len(theirs))


def _onsets(notes: Sequence[Note]) -> dict[int, list[float]]:
    found = defaultdict(list)
    for note in notes:
        found[note.pitch].append(note.onset_s)
    return {pitch: sorted(onsets) for pitch, onsets in found.items()}


def _matches(mine: list[float], others: list[float]) -> int:
    """Count the most pairs there can be: of sorted times, the earliest that fit."""
    count = at = 0
    for onset_s in mine:
        while at < len(others) and others[at] < onset_s - _WITHIN_S:
            at += 1
        if at < len(others) and others[at] <= onset_s + _WITHIN_S:
            count += 1
            at += 1
    return count
