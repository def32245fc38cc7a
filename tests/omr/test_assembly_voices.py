"""Voices and parts: whatever was placed, every voice fills its measure and every staff has its home."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.music.score import BASS, TREBLE, Chord, Event, Head, NoteType, Rest, SpelledPitch
from services.omr.assembly.parts import SystemShape, align_parts
from services.omr.assembly.voices import Written, silence, write_voices

LENGTHS = st.builds(Fraction, st.integers(1, 24), st.sampled_from((1, 2, 4, 6, 8, 10, 14)))


def event(onset: Fraction, duration: Fraction) -> Event:
    return Chord(onset, duration, NoteType.QUARTER, (Head(SpelledPitch("C", 0, 4)),))


@given(st.lists(st.tuples(st.integers(1, 3), LENGTHS, LENGTHS), max_size=10))
def test_voices_fill_the_measure_and_keep_every_event(placed: list[tuple[int, Fraction, Fraction]]) -> None:
    written = [Written(voice, event(onset, duration)) for voice, onset, duration in placed]
    length = max([Fraction(4), *(onset + duration for _, onset, duration in placed)])
    voices = write_voices(written, 1, length)
    assert voices
    assert len({voice.number for voice in voices}) == len(voices)
    kept = []
    for voice in voices:
        now = Fraction(0)
        for each in voice.events:
            assert each.onset == now
            now += each.duration
        assert now == length
        kept += [(each.onset, each.duration) for each in voice.events if isinstance(each, Chord)]
    assert sorted(kept) == sorted((onset, duration) for _, onset, duration in placed)


@given(LENGTHS, LENGTHS)
def test_silence_is_invisible_and_of_plain_values(onset: Fraction, duration: Fraction) -> None:
    rests = silence(onset, duration)
    assert sum((rest.duration for rest in rests), Fraction(0)) == duration
    for rest in rests:
        assert isinstance(rest, Rest)
        assert not rest.visible


PIANO, SONG, TRIO = ((0, 1),), ((0, 0), (1, 2)), ((0, 0), (1, 1), (2, 2))


@pytest.mark.parametrize(
    ("shapes", "groups", "staves"),
    [
        ([(PIANO, (TREBLE, BASS))] * 2, PIANO, ((0, 1), (0, 1))),
        ([(SONG, (TREBLE, TREBLE, BASS)), (PIANO, (TREBLE, BASS))], SONG, ((0, 1, 2), (1, 2))),
        ([(SONG, (TREBLE, TREBLE, BASS)), (((0, 0), (1, 1)), (None, None))], SONG, ((0, 1, 2), (1, 2))),
        ([(TRIO, (TREBLE, TREBLE, BASS)), (((0, 0),), (BASS,))], TRIO, ((0, 1, 2), (2,))),
    ],
)
def test_systems_are_laid_over_the_fullest(shapes, groups, staves) -> None:
    parts = align_parts([SystemShape(*shape) for shape in shapes])
    assert parts.groups == groups
    assert parts.staves == staves
