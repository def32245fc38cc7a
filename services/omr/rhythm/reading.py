"""From the search's decisions to onsets, durations and voices."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Final

from services.music.score import NoteType
from services.omr.events import MeasureReading, PlacedEvent, PrintedEvent
from services.omr.rhythm.costs import DEFAULT_COSTS, RhythmCosts
from services.omr.rhythm.lengths import Chosen, choose
from services.omr.rhythm.options import RATIOS, TICKS, Option
from services.omr.rhythm.voices import Chain, chains_of, voices_of

_KINDS: Final = tuple(NoteType)[1:8]
_WHOLE_MEASURE: Final = Fraction(4)


def read_rhythm(
    measures: Sequence[Sequence[PrintedEvent]],
    metres: Sequence[Fraction | None],
    costs: RhythmCosts = DEFAULT_COSTS,
) -> tuple[MeasureReading, ...]:
    """Give every event of a piece its onset, duration and voice.

    Args:
        measures: for each measure of the piece, in order, the events on all staves of its system.
        metres: for each measure the length, in quarter notes, that the time signature in force asks for, or
            None if none was read.
        costs: the weights of the search.

    Returns:
        One reading for each measure.
    """
    filled = [i for i, events in enumerate(measures) if events]
    chosen = choose([measures[i] for i in filled], [metres[i] for i in filled], costs)
    usual = next((each.expected for each in chosen if each.expected), None)
    readings = []
    for i, events in enumerate(measures):
        if events:
            readings.append(_reading(events, chosen[filled.index(i)]))
        else:
            length = metres[i] or (Fraction(usual, TICKS) if usual else _WHOLE_MEASURE)
            readings.append(MeasureReading((), length, 0.0, False))
    return tuple(readings)


def _reading(events: Sequence[PrintedEvent], chosen: Chosen) -> MeasureReading:
    """One measure, from what was decided for it."""
    length = chosen.length or chosen.expected or int(_WHOLE_MEASURE * TICKS)
    decisions = [each for each in chosen.ending.decisions() if each[-1] >= 0]
    chains = chains_of(events, decisions, length)
    voices = voices_of(events, chains)
    placed: list[PlacedEvent | None] = [None] * len(events)
    for index, time, option, _, _ in decisions:
        placed[index] = _placed(events[index], time, option, voices[index], length)
    quarters = Fraction(length, TICKS)
    adds_up = chosen.accepted and _is_filled(events, chains, length)
    return MeasureReading(tuple(placed), quarters, -chosen.cost, adds_up)


def _placed(event: PrintedEvent, time: int, option: Option | None, voice: int, length: int) -> PlacedEvent:
    """One event in its place; without an option it is a rest that stands for the whole measure."""
    if option is None:
        return PlacedEvent(Fraction(0), Fraction(length, TICKS), NoteType.WHOLE, 0, None, voice, True)
    tuplet = RATIOS[option.ratio] if option.ratio else None
    if tuplet == (3, 2) and event.figure == 6:
        tuplet = (6, 4)
    return PlacedEvent(
        onset=Fraction(time, TICKS),
        duration=Fraction(option.ticks, TICKS),
        kind=_KINDS[option.value],
        dots=option.dots,
        tuplet=tuplet,
        voice=voice,
    )


def _is_filled(events: Sequence[PrintedEvent], chains: Sequence[Chain], length: int) -> bool:
    """Whether every staff that has events is filled: at each time by a voice that it has a share in."""
    for staff in {event.staff for event in events}:
        here = [chain for chain in chains if any(events[i].staff == staff for i in chain.members)]
        reached = 0
        for chain in sorted(here, key=lambda each: each.start):
            if chain.start > reached:
                return False
            reached = max(reached, chain.end)
        if reached != length:
            return False
    return True
