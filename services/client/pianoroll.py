"""Notes as a picture of characters: time runs to the right, pitch upwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from services.music.notes import Note

_NAMES: Final = ("C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B")
#: By whether the upper and the lower half of a character sound.
_HALVES: Final = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}
_MARGIN: Final = 4


def pitch_name(pitch: int) -> str:
    """Name of a MIDI pitch, octaves as in scientific notation: 60 is `C4`."""
    return f"{_NAMES[pitch % 12]}{pitch // 12 - 1}"


def draw(notes: Sequence[Note], duration_s: float, *, width: int = 78, height: int = 16) -> list[str]:
    """Draw notes as a piano roll.

    A line holds two bands of pitches, a band one semitone or, where the range asks for it, more.
    Notes shorter than a column still fill one.

    Args:
        notes: what to draw.
        duration_s: what the whole width stands for.
        width: characters in a line, the names of the pitches at its left included; at least 20.
        height: lines at most, without the line of times below.

    Returns:
        The lines from the top, the last one with times in seconds; none when there are no notes.
    """
    if not notes:
        return []
    columns = width - _MARGIN - 2
    lowest, highest = min(note.pitch for note in notes), max(note.pitch for note in notes)
    semitones = -(-(highest - lowest + 1) // (2 * height))
    lines = -(-(highest - lowest + 1) // (2 * semitones))
    bands = [[False] * columns for _ in range(2 * lines)]
    per_column_s = max(duration_s, *(note.offset_s for note in notes)) / columns
    for note in notes:
        first = min(int(note.onset_s / per_column_s), columns - 1)
        last = max(first + 1, min(round(note.offset_s / per_column_s), columns))
        bands[(note.pitch - lowest) // semitones][first:last] = [True] * (last - first)
    drawn = []
    for line in reversed(range(lines)):
        label = pitch_name(lowest + 2 * line * semitones)
        row = "".join(_HALVES[halves] for halves in zip(bands[2 * line + 1], bands[2 * line], strict=True))
        drawn.append(f"{label:>{_MARGIN}} │{row}".rstrip())
    return [*drawn, _times(columns, per_column_s)]


def _times(columns: int, per_column_s: float) -> str:
    """The line below: a mark and its second about every 15 columns."""
    step_s = next(
        s for s in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600) if s / per_column_s >= 12 or s == 3600
    )
    axis = [" "] * (_MARGIN + 2 + columns)
    second = 0
    while (start := _MARGIN + 2 + int(second / per_column_s)) + 8 <= len(axis):
        text = f"╵{second} s"
        axis[start : start + len(text)] = text
        second += step_s
    return "".join(axis).rstrip()
