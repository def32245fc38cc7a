"""How well rhythm is read when the symbols are known, and when they are as uncertain as a detector's.

Measures: share of events with the right onset, the right duration and both (rests included, events that were
taken away or added left out); share of measures that are right altogether; share that add up; time a page.

    python -m pipelines.evaluation.rhythm ~/.cache/copyist/pages/validation --pages 40
    python -m pipelines.evaluation.rhythm ../shared/data/pages/scanned
"""

from __future__ import annotations

import argparse
import math
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from pipelines.evaluation.rhythm_truth import TrueEvent, TrueMeasure, certain, of_page, of_typed, pages_in
from services.omr.events import PlacedEvent, PrintedEvent
from services.omr.rhythm import read_rhythm
from services.omr.vocabulary import VALUES_QUARTERS


@dataclass(frozen=True, slots=True)
class Damage:
    """How a detector errs.

    Attributes:
        wrong_value: share of events (half of them whole beam groups) whose likeliest value is a neighbour's.
        missed_dots: share of dotted events that seem undotted.
        false_dots: share of undotted events that seem dotted.
        unmarked: share of tuplets that nothing tells of.
        missing, false: events that are lost or made up, as shares of all.
        wrong_stem: share of stems turned round.
        no_beam: share of events whose beam is not known.
        jitter_px: standard deviation of x.
        doubt: how unsure it can be of what it reads.
    """

    wrong_value: float = 0.0
    missed_dots: float = 0.0
    false_dots: float = 0.0
    unmarked: float = 0.0
    missing: float = 0.0
    false: float = 0.0
    wrong_stem: float = 0.0
    no_beam: float = 0.0
    jitter_px: float = 0.0
    doubt: float = 0.0


PERFECT = Damage()
UNMARKED = Damage(unmarked=1.0)
DETECTOR = Damage(0.03, 0.05, 0.003, 0.5, 0.01, 0.01, 0.02, 0.1, 0.8, 0.5)
POOR = Damage(0.06, 0.15, 0.006, 0.7, 0.02, 0.02, 0.04, 0.2, 1.0, 0.5)
DAMAGES = {"perfect": PERFECT, "tuplets unmarked": UNMARKED, "as detected": DETECTOR, "poor scan": POOR}


def damaged(
    measure: TrueMeasure, damage: Damage, rng: np.random.Generator
) -> list[tuple[TrueEvent | None, PrintedEvent]]:
    """What a detector that errs so would see, each with the truth (None for an event made up)."""
    if damage is PERFECT:
        return [(each, each.printed) for each in measure.events]
    unmarked = {each.printed.beam for each in measure.events if rng.random() < damage.unmarked}
    shift = {
        each.printed.beam: int(rng.choice([-1, 1]))
        for each in measure.events
        if each.printed.beam is not None and rng.random() < damage.wrong_value / 4
    }
    seen: list[tuple[TrueEvent | None, PrintedEvent]] = []
    for true in measure.events:
        event = true.printed
        if rng.random() >= damage.missing:
            marked = event.beam not in unmarked and rng.random() >= damage.unmarked * (event.beam is None)
            seen.append((true, _misread(event, marked, shift.get(event.beam, 0), damage, rng)))
        if rng.random() < damage.false:
            ghost = replace(
                event,
                x=event.x + rng.uniform(-40, 40),
                durations=_doubtful(int(rng.integers(1, 5)), 7, 0.6),
                beam=None,
                figure=None,
                confidence=float(rng.uniform(0.3, 0.7)),
            )
            seen.append((None, ghost))
    return seen


def _misread(
    event: PrintedEvent, marked: bool, shift: int, damage: Damage, rng: np.random.Generator
) -> PrintedEvent:
    """One event as a detector that errs sees it."""
    value = int(np.argmax(event.durations))
    dots = int(np.argmax(event.dots))
    if not shift and rng.random() < damage.wrong_value / 2:
        shift = int(rng.choice([-1, 1]))
    lowest = 3 if event.beam is not None else 0
    wrong = min(max(value + shift, lowest), len(VALUES_QUARTERS) - 1)
    durations = np.exp(_doubtful(wrong, len(VALUES_QUARTERS), _surety(damage, rng)))
    if wrong != value:
        durations[value] += float(rng.uniform(0.01, 0.5))
    dot_read = 0 if dots and rng.random() < damage.missed_dots else dots
    if not dots and rng.random() < damage.false_dots:
        dot_read = 1
    stem = event.stem
    if not event.is_rest and rng.random() < damage.wrong_stem:
        stem = (stem[0], stem[2], stem[1])
    return replace(
        event,
        x=event.x + float(rng.normal(0, damage.jitter_px)),
        stem=stem,
        durations=tuple(np.log(durations / durations.sum()).tolist()),
        dots=_doubtful(dot_read, 3, _surety(damage, rng)),
        tuplet=event.tuplet if marked else _doubtful(0, 3, _surety(damage, rng)),
        figure=event.figure if marked else None,
        beam=None if rng.random() < damage.no_beam else event.beam,
        confidence=_surety(damage, rng),
    )


def _surety(damage: Damage, rng: np.random.Generator) -> float:
    """How sure a trained detector is of what it reads: mostly very, seldom hardly."""
    return float(0.998 - damage.doubt * rng.random() ** 4)


def _doubtful(index: int, count: int, sure: float) -> tuple[float, ...]:
    """Log-probabilities of a reader who is as sure as that."""
    if sure >= 1:
        return certain(index, count)
    return tuple(math.log(sure if i == index else (1 - sure) / (count - 1)) for i in range(count))


def evaluate(
    piece: Sequence[TrueMeasure], damage: Damage, rng: np.random.Generator, with_metre: bool = True
) -> dict[str, float]:
    """Counts for one page or piece: events, and how many are right in each respect."""
    seen = [damaged(measure, damage, rng) for measure in piece]
    metres = [measure.metre if with_metre else None for measure in piece]
    started = time.perf_counter()
    readings = read_rhythm([[event for _, event in each] for each in seen], metres)
    counts = defaultdict(float, seconds=time.perf_counter() - started, measures=len(piece))
    for pairs, reading in zip(seen, readings, strict=True):
        right = [_right(true, found) for (true, _), found in zip(pairs, reading.events, strict=True) if true]
        counts["events"] += len(right)
        counts["onset"] += sum(onset for onset, _ in right)
        counts["duration"] += sum(duration for _, duration in right)
        counts["both"] += sum(onset and duration for onset, duration in right)
        counts["measures right"] += all(onset and duration for onset, duration in right)
        counts["add up"] += reading.adds_up
    return counts


def _right(true: TrueEvent, found: PlacedEvent | None) -> tuple[bool, bool]:
    """Whether onset and duration are right."""
    if found is None:
        return False, False
    return abs(found.onset - true.onset) < 0.02, abs(found.duration - true.duration) < 0.02


def table(pieces: Sequence[Sequence[TrueMeasure]]) -> str:
    """The figures for every kind of damage, with and without time signatures."""
    lines = [
        f"{'':28} {'onset':>7} {'duration':>8} {'both':>7} {'measures':>8} {'add up':>7} {'ms/measure':>10}"
    ]
    for name, damage in DAMAGES.items():
        for with_metre in (True, False):
            total: dict[str, float] = defaultdict(float)
            rng = np.random.default_rng(1)
            for piece in pieces:
                for key, count in evaluate(piece, damage, rng, with_metre).items():
                    total[key] += count
            events, measures = total["events"], total["measures"]
            lines.append(
                f"{name + ('' if with_metre else ', metre unknown'):28} {total['onset'] / events:7.4f} "
                f"{total['duration'] / events:8.4f} {total['both'] / events:7.4f} "
                f"{total['measures right'] / measures:8.4f} {total['add up'] / measures:7.4f} "
                f"{1000 * total['seconds'] / measures:10.2f}"
            )
    return "\n".join(lines)


def main() -> None:
    """Print the table for a folder of engraved pages, or of works with typed notation."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pages", type=int, default=40, help="at most so many engraved pages")
    arguments = parser.parse_args()
    typed = sorted(arguments.folder.glob("*/truth.json"))
    if typed:
        for path in typed:
            print(path.parent.name, table([of_typed(path)]), sep="\n")
        print("all", table([of_typed(path) for path in typed]), sep="\n")
    else:
        print(table([of_page(page) for page in islice(pages_in(arguments.folder), arguments.pages)]))


if __name__ == "__main__":
    main()
