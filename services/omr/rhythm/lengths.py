"""How long measures last: each by itself, and all of a piece together.

A time signature is believed if measures agree with it; without one, the length that most measures have is
taken. Upbeats, last measures and measures that a repeat splits may be shorter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from typing import Final

from services.omr.events import PrintedEvent
from services.omr.rhythm.costs import RhythmCosts
from services.omr.rhythm.options import TICKS
from services.omr.rhythm.search import NARROW, WIDE, Ending, MeasureSearch, end_of, staff_of

#: A reading that costs less than this, and so much more for each event, is not searched for again.
_PLAIN, _PLAIN_EVENT = 2.0, 0.1
#: Measures with more events than this are searched less widely, so that time stays bounded.
_USUAL_EVENTS: Final = 40
#: How far, in measures, a triplet makes others likely.
_NEAR: Final = 4
_TRIPLET: Final = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the search found for one measure: for each length, in ticks, its cheapest reading and the cost."""

    readings: dict[int, tuple[float, Ending]]

    @property
    def best(self) -> tuple[int, float]:
        """The likeliest length by itself, with its cost."""
        length = min(self.readings, key=lambda each: self.readings[each][0])
        return length, self.readings[length][0]

    @property
    def has_triplets(self) -> bool:
        """Whether the best reading has triplets."""
        decisions = self.readings[self.best[0]][1].decisions()
        return any(option is not None and option.ratio == _TRIPLET for _, _, option, _, _ in decisions)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The reading of a measure that was decided on.

    Attributes:
        length: in ticks.
        expected: the length that the metre asks for, or None if that is not known.
        ending: what was read.
        cost: in nats.
        accepted: whether the length is as expected, or shorter with good reason.
    """

    length: int
    expected: int | None
    ending: Ending
    cost: float
    accepted: bool


def search(
    events: Sequence[PrintedEvent], length: int | None, width: int, familiar: bool, costs: RhythmCosts
) -> Outcome:
    """Read one measure by itself."""
    readings: dict[int, tuple[float, Ending]] = {}
    for ending in MeasureSearch(events, length, familiar, costs).run(width):
        total = ending.end
        cost = ending.cost + _unfilled(ending, costs)
        if length is not None and total > length:
            cost -= costs.long
        if total not in readings or cost < readings[total][0]:
            readings[total] = (cost, ending)
    return Outcome(readings)


def _unfilled(ending: Ending, costs: RhythmCosts) -> float:
    """What it costs that voices end before the last one does."""
    cost = 0.0
    filled = {staff_of(v) for v in ending.voices if end_of(v) >= ending.end}
    for voice in ending.voices:
        if end_of(voice) < ending.end:
            staff = staff_of(voice)
            cost += costs.voice_stops if staff in filled else costs.silence
            filled.add(staff)
    return cost


def choose(
    measures: Sequence[Sequence[PrintedEvent]], metres: Sequence[Fraction | None], costs: RhythmCosts
) -> list[Chosen]:
    """Read all measures of a piece; each must have at least one event.

    Args:
        measures: events of each.
        metres: the length that the time signature in force asks for, in quarter notes, if known.
        costs: the weights.
    """
    hints = [None if metre is None else int(metre * TICKS) for metre in metres]
    outcomes = [search(m, h, NARROW, False, costs) for m, h in zip(measures, hints, strict=True)]
    believed = _believed(hints, outcomes, costs)
    triplets = [outcome.has_triplets for outcome in outcomes]
    for i, events in enumerate(measures):
        cost = _single(outcomes[i], believed[i], costs, at_edge=False).cost
        if cost > _PLAIN + _PLAIN_EVENT * len(events):
            familiar = any(triplets[max(0, i - _NEAR) : i + _NEAR + 1])
            width = max(NARROW, min(WIDE, WIDE * _USUAL_EVENTS // len(events)))
            outcomes[i] = search(events, believed[i], width, familiar, costs)
    return _join(outcomes, believed, costs)


def _mismatch(length: int, expected: int | None, costs: RhythmCosts) -> float:
    if expected is None or length == expected:
        return 0.0
    return costs.short if length < expected else costs.long


def _believed(
    hints: Sequence[int | None], outcomes: Sequence[Outcome], costs: RhythmCosts
) -> list[int | None]:
    """For each measure the length that those under the same time signature agree on.

    Each measure votes with what it costs to give it a length, beyond the length that it likes best.
    """
    found: list[int | None] = []
    for hint, group in groupby(zip(hints, outcomes, strict=True), key=lambda pair: pair[0]):
        members = [outcome for _, outcome in group]
        liked = Counter(outcome.best[0] for outcome in members)
        lengths = [length for length, count in liked.items() if length and count > 1]
        if hint is not None:
            lengths.append(hint)
        against = {length: 0.0 if length == hint else costs.metre_misread for length in lengths}
        for outcome in members:
            least = outcome.best[1]
            for length in lengths:
                cost = outcome.readings[length][0] if length in outcome.readings else least + costs.short
                against[length] += min(cost - least, costs.short)
        found += [min(against, key=against.__getitem__, default=None)] * len(members)
    return found


def _join(outcomes: Sequence[Outcome], believed: Sequence[int | None], costs: RhythmCosts) -> list[Chosen]:
    """Choose each measure's length, two short neighbours together where they make one measure."""
    chosen: list[Chosen] = []
    i = 0
    while i < len(outcomes):
        single = _single(outcomes[i], believed[i], costs, at_edge=i in (0, len(outcomes) - 1))
        if i + 1 < len(outcomes) and single.cost > costs.short_split:
            pair = _pair(outcomes[i : i + 2], believed[i : i + 2], costs)
            follower = _single(outcomes[i + 1], believed[i + 1], costs, at_edge=i + 2 == len(outcomes))
            if pair and sum(each.cost for each in pair) < single.cost + follower.cost:
                chosen += pair
                i += 2
                continue
        chosen.append(single)
        i += 1
    return chosen


def _single(outcome: Outcome, expected: int | None, costs: RhythmCosts, *, at_edge: bool) -> Chosen:
    """The best reading of one measure."""
    best = None
    for length, (cost, ending) in outcome.readings.items():
        short = expected is not None and length < expected
        total = cost + (costs.short_edge if short and at_edge else _mismatch(length, expected, costs))
        if best is None or total < best.cost:
            accepted = expected in (None, length) or (short and at_edge)
            best = Chosen(length, expected, ending, total, accepted)
    assert best is not None  # noqa: S101 - a search always has an answer
    return best


def _pair(
    outcomes: Sequence[Outcome], believed: Sequence[int | None], costs: RhythmCosts
) -> list[Chosen] | None:
    """Two measures that make one together, or None if they cannot."""
    expected = believed[0]
    if expected is None or believed[1] != expected:
        return None
    best = None
    for length, (cost, ending) in outcomes[0].readings.items():
        if length < expected and expected - length in outcomes[1].readings:
            other_cost, other = outcomes[1].readings[expected - length]
            if best is None or cost + other_cost < best[0].cost + best[1].cost - 2 * costs.short_split:
                best = [
                    Chosen(length, expected, ending, cost + costs.short_split, True),
                    Chosen(expected - length, expected, other, other_cost + costs.short_split, True),
                ]
    return best
