"""Key finding and spelling."""

from __future__ import annotations

import pytest

from services.music.key import find_key
from services.music.performance import gather
from services.music.score import Key, Mode
from services.music.spelling import spell
from tests.music.examples import played

MAJOR_CADENCE = [(0, 4, 7), (5, 9, 12), (7, 11, 14), (0, 4, 7, 12)]
MINOR_CADENCE = [(0, 3, 7), (5, 8, 12), (7, 11, 14), (0, 3, 7, 12)]


@pytest.mark.parametrize("tonic", range(12))
@pytest.mark.parametrize(("cadence", "mode"), [(MAJOR_CADENCE, Mode.MAJOR), (MINOR_CADENCE, Mode.MINOR)])
def test_cadence_tells_the_key(tonic: int, cadence: list[tuple[int, ...]], mode: Mode) -> None:
    chords = [(2.0 * i, 2.0, tuple(48 + tonic + step for step in chord)) for i, chord in enumerate(cadence)]
    key = find_key(gather(played(chords)))
    assert key.mode is mode
    assert (key.fifths * 7 + (9 if mode is Mode.MINOR else 0)) % 12 == tonic
    assert -7 <= key.fifths <= 7
    assert key.confidence > 0.5


def test_no_notes_have_no_key_to_be_sure_of() -> None:
    assert find_key(gather([])) == Key(0, Mode.MAJOR, 0.0)


@pytest.mark.parametrize(
    ("pitches", "key", "names"),
    [
        ((57, 61, 64, 68), Key(3, Mode.MAJOR), ["A0", "C1", "E0", "G1"]),
        ((56, 60, 63, 61), Key(-4, Mode.MAJOR), ["A-1", "C0", "E-1", "D-1"]),
        ((57, 60, 64, 68), Key(0, Mode.MINOR), ["A0", "C0", "E0", "G1"]),
        ((60, 63, 67, 71), Key(-3, Mode.MINOR), ["C0", "E-1", "G0", "B0"]),
    ],
    ids=["A major", "A-flat major", "A minor, leading note", "C minor, leading note"],
)
def test_notes_are_spelled_in_their_key(pitches: tuple[int, ...], key: Key, names: list[str]) -> None:
    performance = gather(played([(float(i), 1.0, pitch) for i, pitch in enumerate(pitches * 4)]))
    spelled = spell(performance, key)
    assert [f"{pitch.step}{pitch.alter}" for pitch in spelled[:4]] == names
    assert [pitch.midi for pitch in spelled] == performance.pitch.tolist()
