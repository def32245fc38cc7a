"""What is printed with the notes: ties, grace notes, articulations, slurs, dynamics, octave lines and more.

All work on a part: the places of one layer's events over the whole piece, in order. How often each kind of
mark comes is drawn once for a piece (`Habits`): some editions are full of fingerings, others have none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from random import Random

from pipelines.engraving.mei import Clef, Event, Head, Layer, Mark, Measure, flat

DYNAMICS = ("p", "f", "mf", "pp", "ff", "mp", "sf", "fp", "sfz", "ppp", "fff", "fz", "rf")
WORDS = ("cresc.", "dim.", "dolce", "legato", "rit.", "a tempo", "espress.", "poco a poco", "sempre stacc.",
         "m. s.", "simile", "leggiero", "D. C. al Fine", "Fine")  # fmt: skip
ARTICULATIONS = {"stacc": 8, "acc": 4, "ten": 3, "marc": 3, "stacc ten": 1, "stacc acc": 1}


@dataclass(frozen=True, slots=True)
class Habits:
    """How likely each mark is at an event (grace notes, ties) or in a measure of a staff (dynamics)."""

    tie: float
    chromatic: float
    courtesy: float
    grace: float
    articulation: float
    slur: float
    fermata: float
    trill: float
    fingering: float
    arpeggio: float
    cross_staff: float
    dynamic: float
    hairpin: float
    word: float
    octave_line: float
    pedal: float

    @classmethod
    def draw(cls, random: Random) -> Habits:
        """Habits of one edition; each kind of mark is absent from about half of them."""
        most = {
            "tie": 0.25, "chromatic": 0.35, "courtesy": 0.15, "grace": 0.2, "articulation": 0.7, "slur": 0.4,
            "fermata": 0.05, "trill": 0.08, "fingering": 0.7, "arpeggio": 0.3, "cross_staff": 0.2,
            "dynamic": 0.7, "hairpin": 0.4, "word": 0.3, "octave_line": 0.15, "pedal": 0.6,
        }  # fmt: skip
        absent = {"tie": 0.2, "chromatic": 0.1, "courtesy": 0.4, "slur": 0.25, "dynamic": 0.25}
        drawn = {
            each.name: 0.0
            if random.random() < absent.get(each.name, 0.5)
            else most[each.name] * random.random() ** 2
            for each in fields(cls)
        }
        return cls(**drawn)


@dataclass(frozen=True, slots=True)
class Place:
    """An event where it stands; `staff` from 1."""

    event: Event
    measure: Measure
    staff: int
    layer: Layer


def places(measures: Sequence[Measure], staff: int, layer: int) -> list[Place]:
    """Every event of one layer of a staff, in order."""
    return [
        Place(event, measure, staff, measure.staves[staff - 1][layer])
        for measure in measures
        if layer < len(measure.staves[staff - 1])
        for event in flat(measure.staves[staff - 1][layer].items)
    ]


def tie_notes(part: Sequence[Place], habits: Habits, random: Random) -> None:
    """Ties all or some heads of a chord to the next one, which then gets the same heads."""
    for here, there in pairwise(part):
        now, then = here.event, there.event
        if not (now.heads and then.heads) or random.random() >= habits.tie or then.graces:
            continue
        tied = now.heads if random.random() < 0.7 else random.sample(now.heads, 1)
        kept = [head for head in then.heads if random.random() < 0.3] if len(tied) < len(now.heads) else []
        reached = {head.diatonic for head in tied}
        then.heads = [Head(head.diatonic, tie="t") for head in tied]
        then.heads += [head for head in kept if head.diatonic not in reached]
        for head in tied:
            head.tie = "m" if head.tie == "t" else "i"


def add_graces(part: Sequence[Place], habits: Habits, random: Random) -> None:
    """Grace notes before notes: one, slashed or not, or a few under a beam."""
    for place in part:
        heads = place.event.heads
        if not heads or any(head.tie in ("m", "t") for head in heads) or random.random() >= habits.grace:
            continue
        count = random.choice((1, 1, 1, 2, 2, 3, 4))
        value = random.choice((8, 8, 16)) if count == 1 else random.choice((16, 16, 32))
        start = heads[0].diatonic + random.choice((-1, 1, 1, 2))
        turn = random.choice((-1, 1))
        place.event.graces = [
            Event(value, heads=[Head(start + turn * (index % 3))]) for index in range(count)
        ]
        place.event.slashed = count == 1 and random.random() < 0.6


def add_articulations(part: Sequence[Place], habits: Habits, random: Random) -> None:
    """Staccato and the like, mostly over several notes in a row."""
    names, weights = list(ARTICULATIONS), list(ARTICULATIONS.values())
    current: tuple[str, ...] = ()
    for place in part:
        if random.random() < 0.3:
            drawn = random.choices(names, weights)[0].split()
            current = tuple(drawn) if random.random() < habits.articulation else ()
        if place.event.heads:
            place.event.articulations = current


def cross_staves(
    part: Sequence[Place], habits: Habits, random: Random, other: int, clefs: Sequence[Clef]
) -> None:
    """Writes a few notes in a row on the other staff of the same player, moved to where that staff is."""
    left = 0
    for place in part:
        left -= 1
        if random.random() < habits.cross_staff / 4:
            left = random.randint(1, 4)
        event = place.event
        if left > 0 and event.heads and all(not head.tie for head in event.heads):
            event.staff = other
            shift = clefs[other - 1].middle + random.randint(-6, 6) - event.heads[0].diatonic
            for head in event.heads:
                head.diatonic += shift


def slurs(part: Sequence[Place], habits: Habits, random: Random) -> Iterator[tuple[Measure, Mark]]:
    """Slurs over two to a dozen notes."""
    index = 0
    while index + 1 < len(part):
        length = random.choice((1, 1, 2, 2, 3, 4, 6, 8, 12))
        covered = part[index : index + length + 1]
        if (
            random.random() < habits.slur
            and len(covered) > 1
            and covered[0].event.heads
            and covered[-1].event.heads
        ):
            yield covered[0].measure, Mark("slur", covered[0].staff, covered[0].event, covered[-1].event)
            index += length
        index += 1


def single_marks(part: Sequence[Place], habits: Habits, random: Random) -> Iterator[tuple[Measure, Mark]]:
    """Fermatas, trills and other ornaments, fingerings, arpeggios: over or beside one event."""
    below = random.random() < 0.4
    for place in part:
        event, staff, measure = place.event, place.staff, place.measure
        if random.random() < habits.fermata:
            yield measure, Mark("fermata", staff, event)
        if not event.heads:
            continue
        if random.random() < habits.trill:
            tag = random.choice(("trill", "trill", "trill", "mordent", "turn"))
            yield measure, Mark(tag, staff, event)
        if random.random() < habits.fingering:
            side = "below" if below else "above"
            yield measure, Mark("fing", staff, event, None, f'place="{side}"', str(random.randint(1, 5)))
        if len(event.heads) > 1 and random.random() < habits.arpeggio:
            yield measure, Mark("arpeg", staff, event)


def measure_marks(part: Sequence[Place], habits: Habits, random: Random) -> Iterator[tuple[Measure, Mark]]:
    """Dynamics, hairpins, words, octave lines and pedals: about one of each kind in a measure at most."""
    for measure, staff, events in _by_measure(part):
        first, last = sorted(random.choices(range(len(events)), k=2))
        start, end = events[first], events[last]
        if random.random() < habits.dynamic:
            yield measure, Mark("dynam", staff, start, None, 'place="below"', random.choice(DYNAMICS))
        if random.random() < habits.hairpin and last > first:
            form = random.choice(("cres", "dim"))
            yield measure, Mark("hairpin", staff, start, end, f'form="{form}" place="below"')
        if random.random() < habits.word:
            side = random.choice(("above", "below"))
            yield measure, Mark("dir", staff, start, None, f'place="{side}"', random.choice(WORDS))
        if random.random() < habits.octave_line and last > first and start.heads and end.heads:
            side = "above" if start.heads[0].diatonic > 28 else "below"
            yield measure, Mark("octave", staff, start, end, f'dis="8" dis.place="{side}"')
        if random.random() < habits.pedal and last > first:
            yield measure, Mark("pedal", staff, start, None, 'dir="down" form="pedstar"')
            yield measure, Mark("pedal", staff, end, None, 'dir="up" form="pedstar"')


def _by_measure(part: Sequence[Place]) -> Iterator[tuple[Measure, int, list[Event]]]:
    grouped: dict[int, list[Place]] = {}
    for place in part:
        grouped.setdefault(id(place.measure), []).append(place)
    for group in grouped.values():
        events = [place.event for place in group if not place.event.space]
        if events:
            yield group[0].measure, group[0].staff, events
