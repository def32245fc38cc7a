"""Alterations and the signs for them: what a measure has already said needs no sign again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from random import Random

from pipelines.engraving.marks import Habits
from pipelines.engraving.mei import Event, Measure, Tuplet, flat


def spell(measures: Sequence[Measure], keys: Sequence[int], habits: Habits, random: Random) -> None:
    """Gives every head its alteration, and a sign where the measure so far does not already say it.

    Args:
        keys: sharps (above 0) or flats of each measure.
    """
    sounding: dict[tuple[int, int, int], int] = {}  # by staff, layer and pitch: what a tie carries on
    for measure, key in zip(measures, keys, strict=True):
        altered = altered_steps(key)
        said: dict[tuple[int, int], int] = {}
        for event, staff, layer in in_order(measure):
            for head in (head for each in (*event.graces, event) for head in each.heads):
                place = (event.staff or staff, head.diatonic)
                voiced = (staff, layer, head.diatonic)
                if head.tie in ("m", "t"):
                    head.alter = sounding.get(voiced, 0)
                    continue
                usual = altered.get(head.diatonic % 7, 0)
                before = said.get(place, usual)
                head.alter = _altered(before, usual, random) if random.random() < habits.chromatic else before
                head.courtesy = head.alter == before and random.random() < habits.courtesy * 0.2
                head.sign = head.alter != before or head.courtesy
                head.courtesy = head.courtesy and random.random() < 0.3
                said[place] = sounding[voiced] = head.alter


def altered_steps(key: int) -> dict[int, int]:
    """What a key signature of so many sharps (or, below 0, flats) does to the steps 0 (C) to 6 (B)."""
    sharps = (3, 0, 4, 1, 5, 2, 6)
    if key >= 0:
        return dict.fromkeys(sharps[:key], 1)
    return dict.fromkeys(sharps[::-1][:-key], -1)


def _altered(before: int, usual: int, random: Random) -> int:
    if before != usual and random.random() < 0.7:
        return usual
    candidates = [alter for alter in (usual - 1, usual + 1) if alter != before]
    return random.choice(candidates)


def in_order(measure: Measure) -> Iterator[tuple[Event, int, int]]:
    """The events with their staff and layer (from 1), by onset, those of upper staves and layers first."""
    found: list[tuple[Fraction, int, int, Event]] = []
    for staff, layers in enumerate(measure.staves, 1):
        for number, layer in enumerate(layers, 1):
            time = Fraction(0)
            for item in layer.items:
                scale = Fraction(item.normal, item.actual) if isinstance(item, Tuplet) else Fraction(1)
                for event in flat([item]):
                    found.append((time, staff, number, event))
                    time += event.duration * scale
    for _, staff, number, event in sorted(found, key=lambda entry: entry[:3]):
        yield event, staff, number
