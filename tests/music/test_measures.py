"""Values, beams and accidentals of one measure."""

from __future__ import annotations

from fractions import Fraction

import pytest

from services.music.accidentals import accidentals_of, key_alteration
from services.music.beaming import Beam, beams_of
from services.music.measures import Grid, Place, cut, voice_events
from services.music.rhythm import TICKS
from services.music.score import Chord, Head, Key, Measure, Metre, Mode, NoteType, Rest, SpelledPitch, Voice
from services.music.voices import Span

FOUR, THREE, SIX = (Grid.of(Metre(*figures)) for figures in ((4, 4), (3, 4), (6, 8)))


@pytest.mark.parametrize(
    ("grid", "stretch", "rest", "pieces"),
    [
        (FOUR, (0, 480), False, [480]),
        (FOUR, (60, 180), False, [120]),  # eighth, quarter, eighth
        (FOUR, (180, 300), False, [60, 60]),  # the middle of the measure must show
        (FOUR, (120, 360), False, [240]),  # quarter, half, quarter
        (FOUR, (0, 300), False, [240, 60]),
        (FOUR, (0, 180), False, [180]),
        (FOUR, (0, 180), True, [120, 60]),  # rests have no dots
        (FOUR, (120, 360), True, [120, 120]),
        (THREE, (0, 360), False, [360]),
        (THREE, (120, 360), False, [240]),
        (SIX, (0, 120), False, [120]),
        (SIX, (0, 240), False, [240]),
        (SIX, (40, 120), True, [80]),
        (SIX, (80, 200), False, [40, 80]),
    ],
)
def test_stretch_is_cut_where_the_beat_must_show(
    grid: Grid, stretch: tuple[int, int], rest: bool, pieces: list[int]
) -> None:
    assert [last - first for first, last in cut(grid, *stretch, rest=rest)] == pieces


def test_voice_is_filled_with_rests() -> None:
    heads = [Head(SpelledPitch("C", 0, 5), source=0)]
    events = voice_events([Span(120, 240, (0,))], FOUR, Place(0, 480), heads)
    assert [(type(event), event.duration) for event in events] == [(Rest, 1), (Chord, 1), (Rest, 2)]


def test_note_over_the_barline_is_tied() -> None:
    heads = [Head(SpelledPitch("C", 0, 5), source=0)]
    span = Span(3 * TICKS, 5 * TICKS, (0,))
    first = voice_events([span], FOUR, Place(0, 480), heads)[-1]
    second = voice_events([span], FOUR, Place(480, 960), heads)[0]
    assert isinstance(first, Chord)
    assert isinstance(second, Chord)
    assert (first.heads[0].tied_back, first.heads[0].tied_on) == (False, True)
    assert (second.heads[0].tied_back, second.heads[0].tied_on) == (True, False)


def chords(*lengths: Fraction | float) -> list[Chord]:
    events, now = [], Fraction(0)
    kinds = {kind.quarters: kind for kind in NoteType}
    for length in lengths:
        duration = Fraction(length)
        events.append(Chord(now, duration, kinds[duration], (Head(SpelledPitch("C", 0, 5)),)))
        now += duration
    return events


def test_eighths_are_beamed_by_half_measures() -> None:
    beams = beams_of(chords(*[0.5] * 8), Metre(4, 4))
    assert [each[0] for each in beams] == [Beam.BEGIN, Beam.CONTINUE, Beam.CONTINUE, Beam.END] * 2


def test_sixteenths_are_beamed_by_beats_with_hooks() -> None:
    beams = beams_of(chords(0.5, 0.25, 0.25, 1, 0.25, 0.5, 0.25, 1), Metre(4, 4))
    assert beams[0] == (Beam.BEGIN,)
    assert beams[1:3] == [(Beam.CONTINUE, Beam.BEGIN), (Beam.END, Beam.END)]
    assert beams[3] == ()
    assert beams[4:7] == [(Beam.BEGIN, Beam.FORWARD_HOOK), (Beam.CONTINUE,), (Beam.END, Beam.BACKWARD_HOOK)]


def test_compound_beats_are_beamed_in_threes() -> None:
    beams = beams_of(chords(*[0.5] * 6), Metre(6, 8))
    assert [each[0] for each in beams] == [Beam.BEGIN, Beam.CONTINUE, Beam.END] * 2


def test_pickup_is_beamed_as_the_end_of_a_measure() -> None:
    beams = beams_of(chords(0.5, 0.5, 0.5), Metre(4, 4), lead=Fraction(5, 2))
    assert [each[0] for each in beams] == [Beam.BEGIN, Beam.CONTINUE, Beam.END]
    alone = beams_of(chords(0.5, 0.5), Metre(2, 4), lead=Fraction(1, 2))
    assert [each[0] for each in alone] == [Beam.BEGIN, Beam.END]


@pytest.mark.parametrize(
    ("fifths", "altered"), [(2, {"F": 1, "C": 1}), (-3, {"B": -1, "E": -1, "A": -1}), (0, {})]
)
def test_signature_alters_its_letters(fifths: int, altered: dict[str, int]) -> None:
    key = Key(fifths, Mode.MAJOR)
    assert {step: key_alteration(step, key) for step in "CDEFGAB"} == {
        step: altered.get(step, 0) for step in "CDEFGAB"
    }


def test_accidental_holds_to_the_barline_and_for_its_octave() -> None:
    pitches = [("F", 1, 4), ("F", 1, 4), ("F", 0, 4), ("F", 1, 5)]
    events = tuple(
        Chord(Fraction(i), Fraction(1), NoteType.QUARTER, (Head(SpelledPitch(*pitch)),))
        for i, pitch in enumerate(pitches)
    )
    measure = Measure(1, Fraction(4), (Voice(1, 1, events),))
    signs = accidentals_of(measure, Key(0, Mode.MAJOR))
    assert signs == {(0, 0, 0): 1, (0, 2, 0): 0, (0, 3, 0): 1}


def test_tied_note_needs_no_accidental_but_the_next_does() -> None:
    sharp = SpelledPitch("G", 1, 4)
    tied = Chord(Fraction(0), Fraction(1), NoteType.QUARTER, (Head(sharp, tied_back=True),))
    again = Chord(Fraction(1), Fraction(1), NoteType.QUARTER, (Head(sharp),))
    measure = Measure(2, Fraction(2), (Voice(1, 1, (tied, again)),))
    assert accidentals_of(measure, Key(0, Mode.MAJOR)) == {(0, 1, 0): 1}
