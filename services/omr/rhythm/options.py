"""What one printed event can mean: every value, dots and tuplet that is worth a thought, with its cost.

Time is counted in whole ticks, `TICKS` to the quarter note: fine enough for doubly dotted 64ths and for
tuplets of 3, 5, 7 and 9.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.omr.events import PrintedEvent
from services.omr.rhythm.costs import RhythmCosts
from services.omr.vocabulary import TUPLET_NONE, TUPLET_OTHER, TUPLET_TRIPLET, VALUES_QUARTERS

TICKS: Final = 64 * 315
#: Onsets outside of tuplets fall on this grid.
GRID: Final = 315

#: Tuplets: actual notes in the time of normal ones. Index 0 is none; a sextuplet counts as two triplets.
RATIOS: Final = ((1, 1), (3, 2), (5, 4), (7, 4), (2, 3), (4, 3), (9, 8), (7, 8), (5, 3), (7, 6))
#: Ratios that a printed figure can mean, likeliest first.
FIGURES: Final = {2: (4,), 3: (1,), 4: (5,), 5: (2, 8), 6: (1,), 7: (3, 7, 9), 9: (6,)}
_NO_FIGURE: Final = (2, 4, 5, 3)

_DOTTED: Final = ((1, 1), (3, 2), (7, 4))
_EIGHTH: Final = VALUES_QUARTERS.index(0.5)
_WORST: Final = 9.0


@dataclass(frozen=True, slots=True)
class Option:
    """One meaning of an event.

    Attributes:
        cost: of value and dots, in nats above the likeliest.
        ticks: its duration, dots and tuplet included.
        half: half of its value without tuplet and dots, in ticks.
        value, dots: index in `VALUES_QUARTERS`, number of dots.
        ratio: index in `RATIOS`.
        start: cost of beginning a tuplet here; for ratio 0 of not being in one.
    """

    cost: float
    ticks: int
    half: int
    value: int
    dots: int
    ratio: int
    start: float


def options_of(events: Sequence[PrintedEvent], familiar: bool, costs: RhythmCosts) -> list[list[Option]]:
    """For each event of a measure its options, cheapest first.

    Args:
        events: of one measure.
        familiar: whether measures nearby have triplets.
        costs: the weights.
    """
    groups = defaultdict(list)
    for index, event in enumerate(events):
        groups[("beam", event.beam) if event.beam is not None else ("alone", index)].append(index)
    ratios: list[list[tuple[int, float]]] = [[] for _ in events]
    for members in groups.values():
        found = _ratios([events[i] for i in members], familiar, costs)
        for index, each in zip(members, found, strict=True):
            ratios[index] = each
    return [_options(event, each, costs) for event, each in zip(events, ratios, strict=True)]


def _ratios(
    group: Sequence[PrintedEvent], familiar: bool, costs: RhythmCosts
) -> list[list[tuple[int, float]]]:
    """For each event under one beam, the ratios with what it costs to begin one (0: not to be in one).

    What speaks for or against a tuplet is one piece of evidence for the whole group: its figure.
    """
    error = costs.tuplet_error
    likely = [sum(math.exp(e.tuplet[i]) for e in group) / len(group) for i in range(3)]
    likely = [(1 - error) * each / sum(likely) + error / 3 for each in likely]
    best = max(likely)
    loss = [math.log(best / each) for each in likely]
    answer = []
    for event in group:
        if event.figure in FIGURES:
            found = [(ratio, 0.0 if k == 0 else 1.0) for k, ratio in enumerate(FIGURES[event.figure])]
            answer.append([(0, costs.figure_denied / len(group)), *found])
            continue
        start = costs.tuplet_start + loss[TUPLET_TRIPLET]
        found = [(1, min(start, costs.tuplet_familiar) if familiar else start)]
        if loss[TUPLET_OTHER] < 1:
            found += [(ratio, costs.figure_absent + loss[TUPLET_OTHER]) for ratio in _NO_FIGURE]
            found[0] = (1, min(found[0][1], costs.tuplet_start + loss[TUPLET_OTHER] + 1))
        answer.append([(0, loss[TUPLET_NONE] / len(group)), *found])
    return answer


def _options(event: PrintedEvent, ratios: Sequence[tuple[int, float]], costs: RhythmCosts) -> list[Option]:
    """Every combination of value, dots and ratio that does not cost too much."""
    values = _value_losses(event, costs)
    if event.beam is not None:
        values = [loss + (costs.flagless_beam if i < _EIGHTH else 0.0) for i, loss in enumerate(values)]
        least = min(values)
        values = [loss - least for loss in values]
    dots = _losses(event.dots, (costs.dot_added, costs.dot_lost, costs.second_dot))
    found = []
    for value, value_loss in enumerate(values):
        plain = int(VALUES_QUARTERS[value] * TICKS)
        for dot, dot_loss in enumerate(dots):
            if value_loss + dot_loss > _WORST:
                continue
            dotted = plain * _DOTTED[dot][0] // _DOTTED[dot][1]
            for ratio, start in ratios:
                actual, normal = RATIOS[ratio]
                ticks = dotted * normal // actual
                found.append(Option(value_loss + dot_loss, ticks, plain // 2, value, dot, ratio, start))
    return sorted(found, key=lambda option: option.cost)


def _value_losses(event: PrintedEvent, costs: RhythmCosts) -> list[float]:
    """Costs of the values above the likeliest."""
    count = len(event.durations)
    top = max(range(count), key=event.durations.__getitem__)
    floors = [costs.value_error * (1 - 2 * costs.value_neighbour) / (count - 2)] * count
    for near in (top - 1, top + 1):
        if 0 <= near < count:
            flags = not event.is_rest and min(near, top) >= _EIGHTH
            floors[near] = (costs.flags_error if flags else costs.value_error) * costs.value_neighbour
    return _losses(event.durations, floors)


def _losses(log_probabilities: Sequence[float], floors: Sequence[float]) -> list[float]:
    """Costs above the likeliest, when each has a probability that does not hang on what was read."""
    top = max(log_probabilities)
    likely = [math.exp(each - top) for each in log_probabilities]
    trust = (1 - sum(floors)) / sum(likely)
    mixed = [trust * each + floor for each, floor in zip(likely, floors, strict=True)]
    best = max(mixed)
    return [math.log(best / each) for each in mixed]
