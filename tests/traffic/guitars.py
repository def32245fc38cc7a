"""Guitars: chords as they lie under the hand, played by FluidSynth."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import mido
import numpy as np
import soundfile
from numpy.typing import NDArray

from services.amt.contract import SAMPLE_RATE_HZ

SOUND_FONT: Final = Path("/usr/share/sounds/sf2/TimGM6mb.sf2")
#: Of General MIDI: nylon, steel, jazz and clean guitars.
_PROGRAMS: Final = (24, 25, 26, 27)
#: Pitches of the strings that sound, from the lowest up.
_CHORDS: Final = {
    "C": (48, 52, 55, 60, 64),
    "G": (43, 47, 50, 55, 59, 67),
    "D": (50, 57, 62, 66),
    "A": (45, 52, 57, 61, 64),
    "E": (40, 47, 52, 56, 59, 64),
    "F": (41, 48, 53, 57, 60, 65),
    "Am": (45, 52, 57, 60, 64),
    "Dm": (50, 57, 62, 65),
    "Em": (40, 47, 52, 55, 59, 64),
}
_PROGRESSIONS: Final = ("C Am F G", "G Em C D", "A D E A", "Am F C G", "Em C G D", "D A G A", "Dm Am E Am")
_STRING_S: Final = 0.012

#: Seconds at which it begins and ends, pitch, velocity.
Struck = tuple[float, float, int, int]


def installed() -> bool:
    """Whether there is a FluidSynth, and a sound font for it (Debian's timgm6mb-soundfont)."""
    return shutil.which("fluidsynth") is not None and SOUND_FONT.exists()


def guitar(random: np.random.Generator, seconds: float) -> NDArray[np.float32]:
    """Play a progression of chords, strummed, picked, or with a melody: mono at SAMPLE_RATE_HZ."""
    notes = [note for note in _notes(random) if note[0] < seconds]
    with tempfile.TemporaryDirectory() as folder:
        score, sound = Path(folder, "guitar.mid"), Path(folder, "guitar.wav")
        _midi(notes, int(random.choice(_PROGRAMS))).save(score)
        options = ["-niq", "-g", "0.6", "-r", str(SAMPLE_RATE_HZ), "-F", str(sound)]
        subprocess.run(["fluidsynth", *options, str(SOUND_FONT), str(score)], check=True, capture_output=True)
        played, _ = soundfile.read(sound, dtype="float32")
    return played.mean(axis=1)[: int(seconds * SAMPLE_RATE_HZ)]


def _notes(random: np.random.Generator) -> list[Struck]:
    """Sixteen bars, four beats each."""
    beat_s = 60 / random.uniform(70, 120)
    chords = [_CHORDS[name] for name in str(random.choice(_PROGRESSIONS)).split()] * 4
    play = (_strummed, _picked, _with_melody)[random.integers(3)]
    return [
        (0.2 + (4 * bar + begin) * beat_s, 0.2 + (4 * bar + end) * beat_s, pitch, velocity)
        for bar, chord in enumerate(chords)
        for begin, end, pitch, velocity in play(random, chord)
    ]


def _strummed(random: np.random.Generator, chord: tuple[int, ...]) -> Iterator[Struck]:
    for beat, strings in ((0, chord), (1, chord), (1.5, chord[:-5:-1]), (2.5, chord[:-5:-1]), (3, chord)):
        for number, pitch in enumerate(strings):
            yield beat + number * _STRING_S, beat + 0.9, pitch, int(random.integers(60, 100))


def _picked(random: np.random.Generator, chord: tuple[int, ...]) -> Iterator[Struck]:
    low, (third, second, first) = chord[0], chord[-3:]
    for number, pitch in enumerate((low, third, second, first, chord[1], second, third, first)):
        yield number / 2, min(number / 2 + 2, 4), pitch, int(random.integers(60, 95))


def _with_melody(random: np.random.Generator, chord: tuple[int, ...]) -> Iterator[Struck]:
    yield 0, 4, chord[0], 75
    yield 2, 4, chord[1], 70
    for number in range(8):
        if random.random() < 0.8:
            pitch = int(random.choice(chord[2:])) + int(random.choice((0, 0, 0, 2, -2, 5)))
            yield number / 2, (number + 1) / 2, pitch, int(random.integers(70, 110))


def _midi(notes: list[Struck], program: int) -> mido.MidiFile:
    events = sorted(
        [(end, 0, pitch, 0) for _, end, pitch, _ in notes]
        + [(begin, 1, pitch, velocity) for begin, _, pitch, velocity in notes]
    )
    track = mido.MidiTrack([mido.Message("program_change", program=program)])
    now = 0
    for at_s, _, pitch, velocity in events:
        at = round(at_s * 1000)
        track.append(mido.Message("note_on", note=pitch, velocity=velocity, time=at - now))
        now = at
    midi = mido.MidiFile(ticks_per_beat=500)  # at 120 beats a minute: a tick is 1 ms
    midi.tracks.append(track)
    return midi
