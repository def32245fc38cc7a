"""What speaks for and against each step of the search in one measure, as far as the print alone tells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from services.omr.events import PrintedEvent
from services.omr.rhythm.costs import RhythmCosts
from services.omr.rhythm.options import GRID, TICKS, Option, options_of
from services.omr.vocabulary import STEM_NONE

#: The tuplet of a voice, in its lowest bits: the value of its notes << 4 | index in `RATIOS`; 0 for none, and
#: no value once it is whole.
RATIO_MASK: Final = 15
TUPLET_MASK: Final = 127
_VALUE_BIT: Final = 4
#: The end of a voice stands above this bit.
END_BIT: Final = 15

#: An option in its place: its whole cost; its end << `END_BIT` | its tuplet; the option.
Choice = tuple[float, int, Option]

_MOST_APART: Final = 8.0
_LEAST_DROP: Final = 0.2


class Evidence:
    """Costs of what events of a measure can mean, in nats.

    Args:
        events: of the measure, in any order.
        length: ticks that the measure should last, or None if that is not known.
        familiar: whether measures nearby have triplets.
        costs: the weights.

    Attributes:
        lone_rests: events that are whole rests alone in their staff.
        order: the other events, from left to right.
        options: of each event, cheapest first.
        stems: of each event, the likeliest direction, `STEM_NONE` for rests.
        drops: what it costs to take each event as not there.
        neighbours: of each event in `order`, what it costs that it stands in the same column as the one
            before while its staff has something else in that column; while it has not; and that it stands in
            a later column.
    """

    def __init__(
        self, events: Sequence[PrintedEvent], length: int | None, familiar: bool, costs: RhythmCosts
    ) -> None:
        self.events = events
        self.costs = costs
        self.length = length
        self.options = options_of(events, familiar, costs)
        self.lone_rests = _lone_rests(events)
        timed = [i for i in range(len(events)) if i not in self.lone_rests]
        self.order = sorted(timed, key=lambda i: events[i].x)
        self.stems = [_stem(event) for event in events]
        self.drops = [_drop(event.confidence, costs) for event in events]
        self.neighbours = self._neighbours()
        beams: dict[int, list[int]] = {}
        for i in self.order:
            beam = events[i].beam
            if beam is not None:
                beams.setdefault(beam, []).append(i)
        self._opens_beam = {members[0] for members in beams.values()}
        self._closes_beam = {members[-1] for members in beams.values()}
        self._beam_staves = {(beam, events[i].staff) for beam, members in beams.items() for i in members}
        self._spacing_level = self._level()
        self._choices: dict[tuple[int, int, int, int, bool], list[Choice]] = {}

    def choices(self, index: int, time: int, before: int, running: int, fits: bool) -> list[Choice]:
        """The options of an event in its place, cheapest first.

        Args:
            index: of the event.
            time: when it begins.
            before: tuplet of the event before it in its voice, -1 if it is the voice's first.
            running: bit r - 1 is set if ratio r is in use in any voice just then.
            fits: whether all others have ended within the measure.
        """
        key = (index, time, before, running, fits)
        known = self._choices.get(key)
        if known is None:
            known = []
            for option in self.options[index]:
                end = time + option.ticks
                tuplet = option.ratio
                if tuplet and end % GRID:
                    tuplet |= option.value << _VALUE_BIT
                cost = self._cost(index, option, time, before, running, fits)
                known.append((cost, end << END_BIT | tuplet, option))
            known.sort(key=lambda choice: choice[0])
            self._choices[key] = known
        return known

    def _cost(self, index: int, option: Option, time: int, before: int, running: int, fits: bool) -> float:
        """What an option costs in its place."""
        costs = self.costs
        cost = option.cost
        ratio = option.ratio
        if before > 0 and time % GRID:
            # Within a tuplet that is not whole yet.
            if ratio != before & RATIO_MASK:
                cost += costs.tuplet_broken + option.start
            elif option.value != before >> _VALUE_BIT:
                cost += costs.tuplet_uneven
        elif ratio:
            again = running >> (ratio - 1) & 1
            cost += min(option.start, costs.tuplet_again) if again else option.start
            if option.dots and not (time + option.ticks) % GRID and self.events[index].figure is None:
                cost += costs.tuplet_lone
        else:
            cost += option.start
            if time % option.half:
                cost += costs.off_grid
        if self.events[index].beam is not None:
            if before >= 0 and ratio != before & RATIO_MASK and index not in self._opens_beam:
                cost += costs.beam_mixed
            if index in self._closes_beam and (time + option.ticks) % (TICKS // 2):
                cost += costs.beam_ends_off
        if fits and self.length is not None and time + option.ticks > self.length:
            cost += costs.long
        return cost

    def alike(self, index: int, option: Option) -> float:
        """What it costs that an event lasts as another does."""
        alike = (o.cost for o in self.options[index] if (o.value, o.dots) == (option.value, option.dots))
        return min(alike, default=_MOST_APART)

    def crossing(self, index: int, staff: int) -> float:
        """What it costs that a voice comes to an event from another staff."""
        beam = self.events[index].beam
        return self.costs.cross_beam if (beam, staff) in self._beam_staves else self.costs.cross_staff

    def spacing(self, gap: float, ticks: int) -> float:
        """What it costs that `ticks` take `gap` px."""
        if self._spacing_level is None:
            return 0.0
        costs = self.costs
        off = math.log(max(gap, 1.0)) - self._spacing_level - costs.spacing_exponent * math.log(ticks)
        return min(0.5 * (off / costs.spacing_sigma) ** 2, costs.spacing_most)

    def _level(self) -> float | None:
        """The logarithm of the distance, in px, that one tick is expected to have, before the exponent."""
        columns = [self.events[i].x for i in self.order]
        columns = [x for i, x in enumerate(columns) if i == 0 or x - columns[i - 1] > self.costs.together_px]
        if self.length is None or len(columns) < 3:
            return None
        gap = (columns[-1] - columns[0]) / (len(columns) - 1)
        return math.log(gap) - self.costs.spacing_exponent * math.log(self.length / len(columns))

    def _neighbours(self) -> dict[int, tuple[float, float, float]]:
        """See the attribute."""
        costs = self.costs
        found = {}
        for place, index in enumerate(self.order):
            before = self.order[max(place - 1, 0)]
            gap = self.events[index].x - self.events[before].x
            odds = (gap - costs.together_px) / costs.together_width_px
            together = odds if odds > 30 else math.log1p(math.exp(odds))
            apart = min(together - odds, _MOST_APART)
            beside = self._beside(index, before, gap) if gap < costs.displaced_px else together
            found[index] = (beside, together, apart)
        return found

    def _beside(self, index: int, before: int, gap: float) -> float:
        """What it costs that two events of one staff, so far apart, are in the same column."""
        costs = self.costs
        if gap <= costs.aligned_px:
            return 0.0
        if self.events[index].is_rest or self.events[before].is_rest:
            return costs.displaced
        if gap <= costs.beside_px:
            return costs.overlapping
        alike = self.stems[index] == self.stems[before] != STEM_NONE
        return costs.displaced_alike if alike else costs.displaced


def _stem(event: PrintedEvent) -> int:
    """The likeliest direction of a stem, `STEM_NONE` for rests."""
    if event.is_rest:
        return STEM_NONE
    return max(range(3), key=event.stem.__getitem__)


def _drop(confidence: float, costs: RhythmCosts) -> float:
    """What it costs to take an event as not there."""
    sure = min(max(confidence, 1e-3), 1 - 1e-3)
    return max(_LEAST_DROP, costs.drop + math.log(sure / (1 - sure)))


def _lone_rests(events: Sequence[PrintedEvent]) -> tuple[int, ...]:
    """Whole rests that are all that their staff has: they stand for the measure, wherever they stand."""
    staves: dict[int, list[int]] = {}
    for index, event in enumerate(events):
        staves.setdefault(event.staff, []).append(index)
    return tuple(
        members[0]
        for members in staves.values()
        if len(members) == 1
        and events[members[0]].is_rest
        and max(events[members[0]].durations) == events[members[0]].durations[0]
    )
