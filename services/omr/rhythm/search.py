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
from services.omr.rhythm.evidence import END_BIT, RATIO_MASK, TUPLET_MASK, Evidence
from services.omr.rhythm.options import TICKS, Option

#: Hypotheses that are kept.
NARROW, WIDE = 12, 64
#: A whole-measure rest ends when the measure does.
ENDLESS: Final = 1 << 30
#: The length of a measure whose length is not known.
NO_LENGTH: Final = ENDLESS - 1
_ADVANCES: Final = 4
#: Hypotheses so far behind the best are given up, in nats; how often the bound is drawn tighter.
_MARGIN: Final = 10.0
_PRUNE_EVERY: Final = 3

# A voice: end << 15 | staff << 9 | stem << 7 | tuplet, as `Evidence` tells the last.
_END, _STAFF, _STEM = END_BIT, 9, 7

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
        self.length = NO_LENGTH if length is None else length
        self.evidence = Evidence(events, length, familiar, costs)

    def run(self, width: int) -> list[Ending]:
        """The best readings, cheapest first (at least one).

        Args:
            width: how many hypotheses are kept after each event.
        """
        alone = self.evidence.lone_rests
        lone = tuple((i, ENDLESS << _END | self.events[i].staff << _STAFF) for i in alone)
        voices = tuple(sorted(voice for _, voice in lone))
        beam: list[Hypothesis] = [(0.0, -1, 0.0, voices, None)]
        for index in self.evidence.order:
            beam = self._read(index, beam, width)
        return [Ending(cost, voices, trail, lone) for cost, _, _, voices, trail in beam]

    def _read(self, index: int, beam: list[Hypothesis], width: int) -> list[Hypothesis]:
        """Read one more event."""
        found: Found = {}
        limit = math.inf
        for rank, hypothesis in enumerate(beam):
            if hypothesis[0] > limit:
                break
            self._extend(index, hypothesis, limit, found)
            if rank % _PRUNE_EVERY == 0:
                ranked = sorted([each[0] for each in found.values()])
                limit = ranked[0] + _MARGIN
                if len(ranked) > width:
                    limit = min(limit, ranked[width])
        return sorted(found.values(), key=_cost)[:width]

    def _extend(self, index: int, hypothesis: Hypothesis, limit: float, found: Found) -> None:
        """Add to `found` every way on from a hypothesis."""
        cost, time, column_x, voices, trail = hypothesis
        event = self.events[index]
        dropped = cost + self.evidence.drops[index]
        _keep(found, (dropped, time, column_x, voices, (trail, index, 0, None, -1, -1)))
        if event.is_rest and self.evidence.options[index][0].value == 0:
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
        beside, together, apart = self.evidence.neighbours[index]
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
                step = cost + stopped + self.evidence.spacing(gap, end - time)
                moments.append((step, end, event.x, tuple(alive)))
                tried += 1
                if tried == _ADVANCES:
                    break
        if not tried:
            endless = tuple(v for v in voices if v >> _END >= ENDLESS)
            moments.append((cost + costs.silence, time + TICKS, event.x, endless))
        return moments

    def _place(self, index: int, moment: Moment, trail: Trail | None, limit: float, found: Found) -> None:
        """Add to `found` the event's options at one time, in each voice that it may belong to."""
        cost, time, column_x, voices = moment
        staff, stem = self.events[index].staff, self.evidence.stems[index]
        here = [v for v in voices if v >> _STAFF & 63 == staff]
        ended = [v for v in here if v >> _END == time]
        sounding = [v for v in here if v >> _END > time]
        for joined in {v for v in voices if v >> _END == time and abs((v >> _STAFF & 63) - staff) < 2}:
            old_stem = joined >> _STEM & 3
            total = cost
            if joined >> _STAFF & 63 != staff:
                total += self.evidence.crossing(index, joined >> _STAFF & 63)
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
        self._share(index, moment, trail, found)

    def _share(self, index: int, moment: Moment, trail: Trail | None, found: Found) -> None:
        """Add to `found` that the event belongs to the chord that stands before it in the column."""
        cost, time, column_x, voices = moment
        events, stem = self.events, self.evidence.stems[index]
        before = trail
        while before is not None and before[2] == time and before[3] is not None:
            other, option, voice = before[1], before[3], before[5]
            if events[index].x - events[other].x > self.costs.aligned_px:
                return
            if stem and events[other].staff == events[index].staff and self.evidence.stems[other] == stem:
                total = cost + self.costs.chord_split + self.evidence.alike(index, option)
                way = (trail, index, time, option, voice, voice)
                _keep(found, (total, time, column_x, voices, way))
                return
            before = before[0]

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
        running = 0
        fits = True
        for v in others:
            end = v >> _END
            if end >= time and end < ENDLESS:
                running |= 1 << (v & RATIO_MASK)
                fits = fits and end <= self.length
        before = -1
        if joined >= 0:
            before = joined & TUPLET_MASK
            running |= 1 << (joined & RATIO_MASK)
        for option_cost, end_and_ratio, option in self.evidence.choices(
            index, time, before, running >> 1, fits
        ):
            total = cost + option_cost
            if total > limit:
                break
            voice = end_and_ratio | tag
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
