"""Folders of piano recordings with their notes, shaped as MAESTRO: a sound and a MIDI file of one name.

What comes out are pieces as `pipelines.performing.pieces` makes them, ready to be learnt from.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pretty_midi

from services.amt.contract import LOWEST_PITCH, PITCHES, SAMPLE_RATE_HZ
from services.amt.decode import decode
from services.errors import CopyistError

SOUNDS: Final = (".wav", ".flac", ".mp3", ".ogg", ".m4a")
MIDI: Final = (".mid", ".midi")
#: The longest recording that is read, in seconds.
LONGEST_S: Final = 4 * 3600.0
#: Recordings are cut into pieces about this long, in seconds; shorter ones than the least teach nothing.
PIECE_S: Final = 60.0
SHORTEST_S: Final = 8.0
_SUSTAIN: Final = 64


def pairs(folder: Path) -> list[tuple[Path, Path]]:
    """The sound files below `folder` that have a MIDI file of the same name beside them, in a fixed order."""
    found = []
    for sound in sorted(path for path in folder.rglob("*") if path.suffix.lower() in SOUNDS):
        beside = [sound.with_suffix(suffix) for suffix in MIDI]
        found += [(sound, midi) for midi in beside if midi.exists()][:1]
    return found


def read_notes(midi: Path) -> np.ndarray:
    """The notes of a MIDI file as the strings sound: [notes, 4] of onset s, offset s, pitch, velocity.

    A note that ends while the sustain pedal is down sounds until the pedal is up, or its key is struck anew.

    Raises:
        CopyistError: the file is no MIDI file.
    """
    try:
        music = pretty_midi.PrettyMIDI(str(midi))
    except (OSError, ValueError, EOFError, KeyError, IndexError) as error:
        raise CopyistError(f"{midi} cannot be read as MIDI ({error}).") from error
    rows = []
    for instrument in music.instruments:
        if instrument.is_drum:
            continue
        lifted = _lifted(instrument)
        for note in instrument.notes:
            if LOWEST_PITCH <= note.pitch < LOWEST_PITCH + PITCHES and note.end > note.start:
                rows.append((note.start, lifted(note.end), note.pitch, note.velocity))
    notes = np.array(sorted(rows), np.float64).reshape(-1, 4)
    for pitch in np.unique(notes[:, 2]):
        of = np.flatnonzero(notes[:, 2] == pitch)
        notes[of[:-1], 1] = np.minimum(notes[of[:-1], 1], notes[of[1:], 0])
    return notes[notes[:, 1] > notes[:, 0]].astype(np.float32)


def read_pieces(sound: Path, midi: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """A recording cut into pieces: int16 audio at 16 kHz, and its notes [notes, 4] in the piece's time.

    Raises:
        CopyistError: one of the files cannot be read, or the two do not last about as long.
    """
    with sound.open("rb") as file:
        samples = decode(file, max_audio_s=LONGEST_S).samples
    notes = read_notes(midi)
    length_s = samples.size / SAMPLE_RATE_HZ
    if len(notes) == 0 or notes[-1, 0] > length_s + 1:
        raise CopyistError(
            f"{midi.name} does not belong to {sound.name}: it has {len(notes)} notes, "
            f"and the recording ends at {length_s:.0f} s.",
            remedy="Give recordings beside the MIDI files of exactly these performances.",
        )
    count = max(1, math.floor(length_s / PIECE_S))
    for start, end in zip(*_cuts(length_s, count), strict=True):
        if end - start < SHORTEST_S:
            continue
        part = notes[(notes[:, 1] > start) & (notes[:, 0] < end)].copy()
        part[:, :2] -= start
        if len(part):
            yield samples[int(start * SAMPLE_RATE_HZ) : int(end * SAMPLE_RATE_HZ)], part


def _cuts(length_s: float, count: int) -> tuple[list[float], list[float]]:
    edges = [length_s * part / count for part in range(count + 1)]
    return edges[:-1], edges[1:]


class _lifted:  # noqa: N801 - reads as a function
    """From a key's release to the end of its sound, under the sustain pedal of an instrument."""

    def __init__(self, instrument: pretty_midi.Instrument) -> None:
        changes = [
            (each.time, each.value >= _SUSTAIN) for each in instrument.control_changes if each.number == 64
        ]
        self._times = np.array([time for time, _ in changes])
        self._down = [down for _, down in changes]

    def __call__(self, released: float) -> float:
        at = int(np.searchsorted(self._times, released, "right"))
        if at == 0 or not self._down[at - 1]:
            return float(released)
        ups = [time for time, down in zip(self._times[at:], self._down[at:], strict=True) if not down]
        return float(ups[0]) if ups else float(released)
