"""Rhythm: hand-made measures in which something is hard."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.omr.events import MeasureReading, PrintedEvent
from services.omr.rhythm import read_rhythm
from services.omr.vocabulary import STEM_DOWN, STEM_NONE, STEM_UP, VALUES_QUARTERS

FOUR = Fraction(4)


def sure(index: int, count: int, probability: float = 0.97) -> tuple[float, ...]:
    rest = (1 - probability) / (count - 1)
    return tuple(math.log(probability if i == index else rest) for i in range(count))


def printed(
    x: float,
    value: float,
    *,
    dots: int = 0,
    staff: int = 0,
    stem: int = STEM_UP,
    rest: bool = False,
    value_sure: float = 0.97,
    figure: int | None = None,
    beam: int | None = None,
    confidence: float = 0.99,
) -> PrintedEvent:
    up = sure(STEM_NONE if rest else stem, 3)
    return PrintedEvent(
        x=x,
        staff=staff,
        is_rest=rest,
        position=0,
        stem=(up[0], up[1], up[2]),
        durations=sure(VALUES_QUARTERS.index(value), 7, value_sure),
        dots=sure(dots, 3),
        tuplet=sure(0, 3, 0.9),
        figure=figure,
        beam=beam,
        confidence=confidence,
    )


def row(
    values: Sequence[float], *, staff: int = 0, start: float = 0.0, wide: float = 40.0
) -> list[PrintedEvent]:
    """Events of one voice, spaced by their values."""
    events, time = [], 0.0
    for value in values:
        events.append(printed(start + wide * time, value, staff=staff))
        time += value
    return events


def onsets(reading: MeasureReading) -> list[Fraction | None]:
    return [event.onset if event else None for event in reading.events]


def durations(reading: MeasureReading) -> list[Fraction | None]:
    return [event.duration if event else None for event in reading.events]


def one(events: Sequence[PrintedEvent], metre: Fraction | None = FOUR) -> MeasureReading:
    return read_rhythm([events], [metre])[0]


def test_plain_measure_is_read_as_printed() -> None:
    reading = one([*row([1, 1, 1, 1]), *row([2, 2], staff=1)])
    assert onsets(reading) == [0, 1, 2, 3, 0, 2]
    assert durations(reading) == [1, 1, 1, 1, 2, 2]
    assert reading.adds_up
    assert reading.duration == 4


def test_lost_dot_is_found_by_the_other_staff() -> None:
    lost = [printed(0, 1), printed(60, 0.5), printed(80, 2)]
    reading = one([*lost, *row([0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 1], staff=1)])
    assert onsets(reading)[:3] == [0, Fraction(3, 2), 2]
    first = reading.events[0]
    assert first is not None
    assert (first.dots, first.duration) == (1, Fraction(3, 2))
    assert reading.adds_up


def test_confused_value_is_settled_by_the_measure() -> None:
    events = row([1, 1, 0.5, 0.5, 1])
    wrong = [*events[:2], printed(80, 0.25, value_sure=0.6), *events[3:]]
    plain = row([1, 1, 1, 1])
    reading = read_rhythm([plain, wrong, plain], [FOUR] * 3)[1]
    assert durations(reading) == [1, 1, Fraction(1, 2), Fraction(1, 2), 1]


@pytest.mark.parametrize("figure", [3, None])
def test_triplets_are_read_with_and_without_their_figure(figure: int | None) -> None:
    triplets = [printed(27 * i, 0.5, figure=figure, beam=i // 3) for i in range(6)]
    reading = one([*triplets, printed(160, 2), *row([1, 1, 2], staff=1, wide=80)])
    assert onsets(reading)[:7] == [Fraction(i, 3) for i in range(6)] + [2]
    assert [event.tuplet for event in reading.events[:6] if event] == [(3, 2)] * 6
    assert reading.adds_up


def test_quintuplet_and_duplet() -> None:
    five = [printed(16 * i, 0.25, figure=5, beam=1) for i in range(5)]
    reading = one([*five, printed(100, 1)], Fraction(2))
    assert durations(reading) == [Fraction(1, 5)] * 5 + [1]
    two = [printed(40 * i, 0.5, figure=2, beam=1) for i in range(2)]
    reading = one([*two, *row([0.5, 0.5, 0.5], staff=1, wide=54)], Fraction(3, 2))
    assert durations(reading)[:2] == [Fraction(3, 4)] * 2


def test_two_voices_share_a_staff() -> None:
    upper = [printed(40 * i, 1, stem=STEM_UP) for i in range(4)]
    lower = [printed(80 * i, 2, stem=STEM_DOWN) for i in range(2)]
    reading = one([*upper, *lower])
    assert [event.voice for event in reading.events if event] == [1, 1, 1, 1, 2, 2]
    assert onsets(reading) == [0, 1, 2, 3, 0, 2]


def test_chord_that_was_split_lasts_as_one() -> None:
    halves = [printed(1, 1, stem=STEM_UP), printed(82, 1, stem=STEM_UP)]
    reading = one([*row([1, 1, 1, 1]), *halves])
    assert onsets(reading) == [0, 1, 2, 3, 0, 2]
    assert durations(reading) == [1] * 6
    assert {event.voice for event in reading.events if event} == {1}


def test_voice_that_crosses_staves_leaves_no_gap() -> None:
    upper = [printed(0, 1, beam=None), printed(80, 1), printed(120, 1)]
    lower = [*row([1], staff=1), printed(40, 1, staff=1, stem=STEM_DOWN), *row([1, 1], staff=1, start=80)]
    reading = one([*upper, printed(40, 1, staff=1), *lower])
    assert onsets(reading) == [0, 2, 3, 1, 0, 1, 2, 3]
    assert reading.adds_up


def test_lone_whole_rest_stands_for_the_measure() -> None:
    reading = one([printed(70, 4, rest=True), *row([1, 1, 1], staff=1)], Fraction(3))
    rest = reading.events[0]
    assert rest is not None
    assert (rest.whole_measure, rest.onset, rest.duration) == (True, 0, 3)
    assert reading.adds_up


def test_doubtful_event_that_does_not_fit_is_dropped() -> None:
    events = [*row([1, 1, 1, 1]), printed(22, 1, confidence=0.3)]
    reading = one([*events, *row([1, 1, 1, 1], staff=1)])
    assert reading.events[4] is None
    assert onsets(reading)[:4] == [0, 1, 2, 3]


def test_wrong_metre_is_not_believed_when_measures_agree_on_another() -> None:
    readings = read_rhythm([row([1, 1, 1])] * 6, [FOUR] * 6)
    assert all(reading.duration == 3 and reading.adds_up for reading in readings)


def test_unknown_metre_is_the_length_that_most_measures_have() -> None:
    lost = [printed(0, 1), printed(60, 0.5), printed(80, 1)]
    readings = read_rhythm([row([1, 1, 1]), row([1, 0.5, 0.5, 1]), lost, row([2, 1])], [None] * 4)
    assert [reading.duration for reading in readings] == [3] * 4


def test_upbeat_and_split_measure_add_up() -> None:
    full = row([1, 1, 1, 1])
    measures = [row([1]), full, full, row([1, 1, 1]), row([1]), full]
    readings = read_rhythm(measures, [FOUR] * 6)
    assert [reading.duration for reading in readings] == [1, 4, 4, 3, 1, 4]
    assert all(reading.adds_up for reading in readings)


def test_empty_measure_lasts_as_its_metre_says() -> None:
    readings = read_rhythm([[], row([1, 1, 1])], [Fraction(3), Fraction(3)])
    assert readings[0] == MeasureReading((), Fraction(3), 0.0, False)
    assert read_rhythm([], []) == ()


@settings(max_examples=40)
@given(st.data())
def test_always_an_answer_within_bounds(data: st.DataObject) -> None:
    """Whatever is printed: as many events as given, in exact time, none before the measure or after it."""
    events = data.draw(
        st.lists(
            st.builds(
                printed,
                st.floats(0, 300),
                st.sampled_from(VALUES_QUARTERS),
                dots=st.integers(0, 2),
                staff=st.integers(0, 2),
                stem=st.integers(0, 2),
                rest=st.booleans(),
                figure=st.sampled_from([None, 2, 3, 5, 6, 7, 9, 4]),
                beam=st.sampled_from([None, 1, 2]),
                confidence=st.floats(0, 1),
            ),
            max_size=10,
        )
    )
    metre = data.draw(st.sampled_from([None, Fraction(4), Fraction(3, 2)]))
    reading = one(events, metre)
    assert len(reading.events) == len(events)
    assert reading.duration > 0
    for event, each in zip(events, reading.events, strict=True):
        if each is not None:
            assert 0 <= each.onset <= each.onset + each.duration <= reading.duration
            assert each.voice >= 1
            assert event.is_rest or not each.whole_measure
