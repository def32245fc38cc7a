"""Numbers for the voices of a measure: 1 for the upper of two, 2 for the lower."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from services.omr.events import PrintedEvent
from services.omr.rhythm.search import Decision, end_of
from services.omr.vocabulary import STEM_DOWN, STEM_UP


@dataclass(slots=True)
class Chain:
    """Events of one staff, each beginning where the one before ends; times in ticks."""

    staff: int
    start: int
    end: int
    members: list[int] = field(default_factory=list)

    def overlaps(self, other: Chain) -> bool:
        """Whether both sound at some time."""
        return self.start < other.end and other.start < self.end


def voices_of(events: Sequence[PrintedEvent], chains: Sequence[Chain]) -> dict[int, int]:
    """The voice of each event of a measure, by its index.

    A chain that changes staves counts as a voice of the staff that it begins on.
    """
    voices: dict[int, int] = {}
    for staff in {chain.staff for chain in chains}:
        numbered: list[tuple[int, Chain]] = []
        here = [chain for chain in chains if chain.staff == staff]
        # The longest first: it is the staff's main voice, and others make way.
        for chain in sorted(here, key=lambda c: (c.start - c.end, c.start)):
            number = _preferred(chain, here, events)
            while any(n == number and chain.overlaps(other) for n, other in numbered):
                number += 1
            numbered.append((number, chain))
            voices.update(dict.fromkeys(chain.members, number))
    return voices


def chains_of(events: Sequence[PrintedEvent], decisions: Sequence[Decision], length: int) -> list[Chain]:
    """What the search chained together.

    Args:
        events: of a measure.
        decisions: on those that are there, in order of time.
        length: of the measure, in ticks.
    """
    chains: list[Chain] = []
    open_chains: dict[int, list[Chain]] = defaultdict(list)
    for index, time, _, joined, voice in decisions:
        if joined >= 0:
            chain = open_chains[joined].pop()
        else:
            chain = Chain(events[index].staff, time, time)
            chains.append(chain)
        chain.members.append(index)
        chain.end = max(chain.end, min(end_of(voice), length))
        open_chains[voice].append(chain)
    return chains


def _preferred(chain: Chain, others: Sequence[Chain], events: Sequence[PrintedEvent]) -> int:
    """1 or 2, as a chain lies above or below those that sound beside it."""
    beside = [other for other in others if other is not chain and chain.overlaps(other)]
    if not beside:
        return 1
    height = _height(chain, events)
    return 1 if height >= sum(_height(other, events) for other in beside) / len(beside) else 2


def _height(chain: Chain, events: Sequence[PrintedEvent]) -> float:
    """How much a chain looks like an upper voice: by its stems first, then by its position."""
    members = [events[i] for i in chain.members]
    stems = 0
    for event in members:
        if not event.is_rest:
            likeliest = max(range(3), key=event.stem.__getitem__)
            stems += {STEM_UP: 1, STEM_DOWN: -1}.get(likeliest, 0)
    position = sum(event.position for event in members) / len(members)
    return 100 * stems / len(members) + position
