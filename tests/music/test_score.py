"""Values of the score: names, lengths and places on the line of fifths."""

from __future__ import annotations

import pickle
from fractions import Fraction

import pytest

from services.music.notate import notate
from services.music.score import (
    Key,
    Metre,
    Mode,
    NoteType,
    SpelledPitch,
    fifths_of,
    name_at_fifths,
    note_values,
)
from tests.music.examples import march


@pytest.mark.parametrize(
    ("fifths", "mode", "name"),
    [
        (0, Mode.MAJOR, "C major"),
        (-3, Mode.MAJOR, "E-flat major"),
        (3, Mode.MINOR, "F-sharp minor"),
        (-6, Mode.MINOR, "E-flat minor"),
        (7, Mode.MAJOR, "C-sharp major"),
    ],
)
def test_key_is_named(fifths: int, mode: Mode, name: str) -> None:
    assert Key(fifths, mode).name == name


@pytest.mark.parametrize(
    ("beats", "beat_type", "beat", "measure"),
    [(4, 4, 1, 4), (2, 2, 2, 4), (6, 8, Fraction(3, 2), 3), (3, 8, Fraction(3, 2), Fraction(3, 2))],
)
def test_metre_tells_its_beat(beats: int, beat_type: int, beat: Fraction, measure: Fraction) -> None:
    metre = Metre(beats, beat_type)
    assert (metre.beat_quarters, metre.measure_quarters) == (beat, measure)


@pytest.mark.parametrize(
    ("pitch", "midi"),
    [
        (SpelledPitch("C", 0, 4), 60),
        (SpelledPitch("B", 1, 3), 60),
        (SpelledPitch("C", -1, 4), 59),
        (SpelledPitch("A", 0, 0), 21),
    ],
)
def test_spelled_pitch_sounds(pitch: SpelledPitch, midi: int) -> None:
    assert pitch.midi == midi


def test_line_of_fifths_goes_both_ways() -> None:
    for fifths in range(-15, 20):
        assert fifths_of(*name_at_fifths(fifths)) == fifths


def test_note_values_have_dots_and_flags() -> None:
    values = note_values()
    assert values[Fraction(3, 2)] == (NoteType.QUARTER, 1)
    assert values[Fraction(7, 4)] == (NoteType.QUARTER, 2)
    assert Fraction(5, 4) not in values
    assert [kind.flags for kind in (NoteType.HALF, NoteType.QUARTER, NoteType.SIXTEENTH)] == [0, 0, 2]


def test_score_passes_between_processes() -> None:
    score = notate(march())
    assert pickle.loads(pickle.dumps(score)) == score
