"""The search over one measure: a beam over its printed events from left to right, all staves together.

A hypothesis holds the time of the column that was read last and the open ends of the voices. The next event
stands in the same column, or time moves on to an end of a voice; it continues a voice of its staff that ends
just then, or starts one. What does not fit is not forbidden but costs (`RhythmCosts`), so there is always an
answer. A voice is one whole number, its end above its staff, stem and ratio: tuples of them sort by end and
compare fast, which is where the time goes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.omr.events import PrintedEvent
from services.omr.rhythm.costs import RhythmCosts
from services.omr.rhythm.options import GRID, TICKS, Option, options_of
from services.omr.vocabulary import STEM_NONE

#: Hypotheses that are kept.
NARROW, WIDE = 12, 64
#: A whole-measure rest ends when the measure does.
ENDLESS: Final = 1 << 30
_ADVANCES: Final = 4

# A voice: end << 12 | staff << 6 | stem << 4 | ratio.
_END, _STAFF, _STEM = 12, 6, 4

#: What was decided for an event, newest first: the trail before; its index; time; option; the voice that it
#: continues, or -1; the voice as it is then, or -1 if the event is not there. A rest that stands for the
#: whole measure has no option and an endless voice.
Trail = tuple[Any, int, int, Option | None, int, int]
#: The same for one event, without what was before.
Decision = tuple[int, int, Option | None, int, int]
#: Cost, time of the column, x where it begins, voices, trail.
Hypothesis = tuple[float, int, float, tuple[int, ...], Trail | None]
#: A time that an event may begin at: cost, time, x where its column begins, voices that have not stopped.
Moment = tuple[float, int, float, tuple[int, ...]]
#: The cheapest hypothesis of each state.
Found = dict[tuple[int, tuple[int, ...]], Hypothesis]


def end_of(voice: int) -> int:
    """When a voice ends, in ticks; `ENDLESS` for a rest that stands for the whole measure."""
    return voice >> _END


def staff_of(voice: int) -> int:
    """The staff of a voice."""
    return voice >> _STAFF & 63


@dataclass(frozen=True, slots=True)
class Ending:
    """A reading of all events of a measure, to which only its length is lacking.

    Attributes:
        cost: in nats, without what the measure's length costs.
        voices: with their ends.
        trail: what was decided, last event first.
        lone_rests: events that are whole rests alone in their staff, and not in the trail, with their voices.
    """

    cost: float
    voices: tuple[int, ...]
    trail: Trail | None
    lone_rests: tuple[tuple[int, int], ...]

    def decisions(self) -> list[Decision]:
        """What was decided for each event, in order of time."""
        found: list[Decision] = []
        trail = self.trail
        while trail is not None:
            found.append(trail[1:])
            trail = trail[0]
        found += [(index, 0, None, -1, voice) for index, voice in self.lone_rests]
        return found[::-1]

    @property
    def end(self) -> int:
        """When the last voice ends, in ticks."""
        return max((v >> _END for v in self.voices if v >> _END < ENDLESS), default=0)


class MeasureSearch:
    """The search over one measure.

    Args:
        events: of the measure, in any order.
        length: ticks that the measure should last, or None if that is not known.
        familiar: whether measures nearby have triplets.
        costs: the weights.
    """

    def __init__(
        self, events: Sequence[PrintedEvent], length: int | None, familiar: bool, costs: RhythmCosts
    ) -> None:
        self.events = events
        self.costs = costs
        self.length = length
        self.options = options_of(events, familiar, costs)
        self.lone_rests = _lone_rests(events)
        self.order = sorted(
            (i for i in range(len(events)) if i not in self.lone_rests), key=lambda i: events[i].x
        )
        self.stems = [_stem(event) for event in events]
        self.drops = [_drop(event.confidence, costs) for event in events]
        last_of_beam = {events[i].beam: i for i in self.order if events[i].beam is not None}
        self.closes_beam = [last_of_beam.get(event.beam) == i for i, event in enumerate(events)]
        self.spacing_level = self._spacing_level()
        self.neighbours = {index: self._side_by_side(index) for index in self.order}
        self.beam_staves = {
            (events[i].beam, events[i].staff) for i in self.order if events[i].beam is not None
        }

    def run(self, width: int) -> list[Ending]:
        """The best readings, cheapest first (at least one).

        Args:
            width: how many hypotheses are kept after each event.
        """
        lone = tuple((i, ENDLESS << _END | self.events[i].staff << _STAFF) for i in sorted(self.lone_rests))
        voices = tuple(sorted(voice for _, voice in lone))
        beam: list[Hypothesis] = [(0.0, -1, 0.0, voices, None)]
        for index in self.order:
            beam = self._read(index, beam, width)
        return [Ending(cost, voices, trail, lone) for cost, _, _, voices, trail in beam]

    def _read(self, index: int, beam: list[Hypothesis], width: int) -> list[Hypothesis]:
        """Read one more event."""
        found: Found = {}
        limit = math.inf
        for hypothesis in beam:
            if hypothesis[0] > limit:
                break
            self._extend(index, hypothesis, limit, found)
            if len(found) > width:
                limit = sorted([each[0] for each in found.values()])[width]
        return sorted(found.values(), key=_cost)[:width]

    def _extend(self, index: int, hypothesis: Hypothesis, limit: float, found: Found) -> None:
        """Add to `found` every way on from a hypothesis."""
        cost, time, column_x, voices, trail = hypothesis
        event = self.events[index]
        dropped = cost + self.drops[index]
        _keep(found, (dropped, time, column_x, voices, (trail, index, 0, None, -1, -1)))
        if event.is_rest and self.options[index][0].value == 0:
            endless = ENDLESS << _END | event.staff << _STAFF
            after = tuple(sorted((*voices, endless)))
            way = (trail, index, 0, None, -1, endless)
            _keep(found, (cost + self.costs.whole_rest, time, column_x, after, way))
        for moment in self._moments(index, hypothesis):
            if moment[0] <= limit:
                self._place(index, moment, trail, limit, found)

    def _moments(self, index: int, hypothesis: Hypothesis) -> list[Moment]:
        """When the event may begin: cost, time, x of its column, voices that have not stopped."""
        cost, time, column_x, voices, _ = hypothesis
        event = self.events[index]
        if time < 0:
            return [(cost, 0, event.x, voices)]
        costs = self.costs
        gap = event.x - column_x
        beside, together, apart = self.neighbours[index]
        if any(v >> _STAFF & 63 == event.staff and v >> _END > time for v in voices):
            together = beside
        moments = [(cost + together, time, column_x, voices)]
        cost += apart
        stopped = 0.0
        alive = list(voices)
        tried = 0
        for voice in voices:
            end = voice >> _END
            if end <= time or end >= ENDLESS:
                continue
            if not tried or end > moments[-1][1]:
                # Voices that end before this one does have stopped, if time moves on to here.
                stopped = 0.0
                alive = [v for v in voices if v >> _END >= end]
                staves = {v >> _STAFF & 63 for v in alive}
                for v in voices:
                    if v >> _END < end:
                        staff = v >> _STAFF & 63
                        stopped += costs.voice_stops if staff in staves else costs.silence
                        staves.add(staff)
                step = cost + stopped + self._spacing(gap, end - time)
                moments.append((step, end, event.x, tuple(alive)))
                tried += 1
                if tried == _ADVANCES:
                    break
        if not tried:
            endless = tuple(v for v in voices if v >> _END >= ENDLESS)
            moments.append((cost + costs.silence, time + TICKS, event.x, endless))
        return moments

    def _side_by_side(self, index: int) -> tuple[float, float, float]:
        """What it costs that an event stands in the same column as the one before, and in a later one.

        The first figure holds where its staff has something else in the column, the second where it has not.
        """
        costs = self.costs
        place = self.order.index(index)
        if not place:
            return 0.0, 0.0, 0.0
        before = self.order[place - 1]
        gap = self.events[index].x - self.events[before].x
        odds = (gap - costs.together_px) / costs.together_width_px
        together = odds if odds > 30 else math.log1p(math.exp(odds))
        apart = min(together - odds, 8.0)
        beside = together
        if gap < costs.displaced_px:
            alike = self.stems[index] == self.stems[before] != STEM_NONE
            beside = min(together, costs.displaced_alike if alike else costs.displaced)
        return beside, together, apart

    def _spacing_level(self) -> float | None:
        """The logarithm of the distance, in px, that one tick is expected to have, before the exponent."""
        columns = [self.events[i].x for i in self.order]
        columns = [x for i, x in enumerate(columns) if i == 0 or x - columns[i - 1] > self.costs.together_px]
        if self.length is None or len(columns) < 3:
            return None
        gap = (columns[-1] - columns[0]) / (len(columns) - 1)
        return math.log(gap) - self.costs.spacing_exponent * math.log(self.length / len(columns))

    def _spacing(self, gap: float, ticks: int) -> float:
        """What it costs that `ticks` take `gap` px."""
        if self.spacing_level is None:
            return 0.0
        costs = self.costs
        off = math.log(max(gap, 1.0)) - self.spacing_level - costs.spacing_exponent * math.log(ticks)
        return min(0.5 * (off / costs.spacing_sigma) ** 2, costs.spacing_most)

    def _place(
        self,
        index: int,
        moment: Moment,
        trail: Trail | None,
        limit: float,
        found: Found,
    ) -> None:
        """Add to `found` the event's options at one time, in each voice that it may belong to."""
        cost, time, column_x, voices = moment
        staff, stem = self.events[index].staff, self.stems[index]
        here = [v for v in voices if v >> _STAFF & 63 == staff]
        ended = [v for v in here if v >> _END == time]
        sounding = [v for v in here if v >> _END > time]
        others_ended = {v for v in voices if v >> _END == time and abs((v >> _STAFF & 63) - staff) == 1}
        for joined in others_ended.union(ended):
            old_stem = joined >> _STEM & 3
            total = cost
            if joined in others_ended:
                beam = (self.events[index].beam, joined >> _STAFF & 63)
                total += self.costs.cross_beam if beam in self.beam_staves else self.costs.cross_staff
                old_stem = 0
            elif stem and old_stem and stem != old_stem and (sounding or len(ended) > 1):
                total += self.costs.stem_turns
            others = list(voices)
            others.remove(joined)
            tag = staff << _STAFF | (stem or old_stem) << _STEM
            self._choose(index, (total, time, column_x, tuple(others)), joined, tag, trail, limit, found)
        total = cost + self._start(time, stem, sounding, ended)
        tag = staff << _STAFF | stem << _STEM
        self._choose(index, (total, time, column_x, voices), -1, tag, trail, limit, found)

    def _choose(
        self,
        index: int,
        moment: Moment,
        joined: int,
        tag: int,
        trail: Trail | None,
        limit: float,
        found: Found,
    ) -> None:
        """Add to `found` the event's options in the voice of a tag; `moment` has the other voices."""
        cost, time, column_x, others = moment
        costs = self.costs
        length = TICKS << 10 if self.length is None else self.length
        fits = all(v >> _END <= length or v >> _END >= ENDLESS for v in others)
        open_tuplet = joined & 15 if joined >= 0 and time % GRID else 0
        running = {v & 15 for v in others if v >> _END >= time}
        if joined >= 0:
            running.add(joined & 15)
        for option in self.options[index]:
            total = cost + option.cost
            if total > limit:
                break
            ratio = option.ratio
            if open_tuplet:
                if ratio != open_tuplet:
                    total += costs.tuplet_broken + option.start
            elif ratio and ratio in running:
                total += min(option.start, costs.tuplet_again)
            else:
                total += option.start
                if not ratio and time % option.half:
                    total += costs.off_grid
            end = time + option.ticks
            if self.closes_beam[index] and end % (TICKS // 2):
                total += costs.beam_ends_off
            if end > length and fits:
                total += costs.long
            if total > limit:
                continue
            voice = end << _END | tag | ratio
            after = tuple(sorted((*others, voice)))
            known = found.get((time, after))
            if known is None or known[0] > total:
                way = (trail, index, time, option, joined, voice)
                found[time, after] = (total, time, column_x, after, way)

    def _start(self, time: int, stem: int, sounding: list[int], ended: list[int]) -> float:
        """What it costs that a voice starts at a time in a staff where others sound or have just ended."""
        costs = self.costs
        cost = 0.0
        if sounding:
            cost = costs.voice_starts if time else costs.voice_starts_first
            if stem and any(v >> _STEM & 3 == stem for v in sounding):
                cost += costs.stem_shared
        elif time and not ended:
            cost = costs.silence
        if ended:
            cost += costs.voice_starts
        return cost


def _cost(hypothesis: Hypothesis) -> float:
    return hypothesis[0]


def _keep(found: Found, each: Hypothesis) -> None:
    """Keep a hypothesis, unless its like is known and cheaper."""
    key = (each[1], each[3])
    known = found.get(key)
    if known is None or known[0] > each[0]:
        found[key] = each


def _stem(event: PrintedEvent) -> int:
    """The likeliest direction of a stem, `STEM_NONE` for rests."""
    if event.is_rest:
        return STEM_NONE
    return max(range(3), key=event.stem.__getitem__)


def _drop(confidence: float, costs: RhythmCosts) -> float:
    """What it costs to take an event as not there."""
    sure = min(max(confidence, 1e-3), 1 - 1e-3)
    odds = math.log(sure / (1 - sure))
    return max(0.2, costs.drop * 0.5 + odds * costs.drop * 0.5 / math.log(999))


def _lone_rests(events: Sequence[PrintedEvent]) -> frozenset[int]:
    """Whole rests that are all that their staff has: they stand for the measure, wherever they stand."""
    staves: dict[int, list[int]] = {}
    for index, event in enumerate(events):
        staves.setdefault(event.staff, []).append(index)
    return frozenset(
        members[0]
        for members in staves.values()
        if len(members) == 1
        and events[members[0]].is_rest
        and max(events[members[0]].durations) == events[members[0]].durations[0]
    )
