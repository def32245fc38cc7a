from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.omr.agreement import symbols_f1
from services.omr.contract import STAFF_SPACE_PX
from services.omr.page import Symbol
from services.omr.vocabulary import CLASSES, SymbolClass


def symbol(x: float, y: float, kind: SymbolClass = CLASSES[0], duration: int = 2) -> Symbol:
    durations = tuple(0.0 if index == duration else -5.0 for index in range(7))
    return Symbol(
        kind=kind,
        confidence=0.9,
        x=x,
        y=y,
        width=10,
        height=10,
        position=0,
        position_confidence=1,
        durations=durations,
        dots=(0.0, -5.0, -5.0),
        stem=(0.0, -5.0, -5.0),
        tuplet=(0.0, -5.0, -5.0),
        grace=0,
        tied_back=0,
        tied_on=0,
    )


def some(count: int = 40) -> list[Symbol]:
    random = np.random.default_rng(1)
    return [
        symbol(40.0 * index, float(random.uniform(0, 500)), CLASSES[index % 5], index % 4)
        for index in range(count)
    ]


def test_the_same_symbols_agree_and_no_symbols_do_too() -> None:
    assert symbols_f1(some(), list(reversed(some()))) == 1
    assert symbols_f1([], []) == 1
    assert symbols_f1(some(), []) == symbols_f1([], some()) == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda each: replace(each, kind=CLASSES[7]),
        lambda each: replace(
            each, durations=(0.0, *(-5.0,) * 6) if each.durations[0] else (-5.0, 0.0, *(-5.0,) * 5)
        ),
        lambda each: replace(each, voice=(-5.0, 0.0, -5.0)),
        lambda each: replace(each, x=each.x + 0.6 * STAFF_SPACE_PX),
        lambda each: replace(each, y=each.y - 0.6 * STAFF_SPACE_PX),
    ],
    ids=["kind", "duration", "voice", "x", "y"],
)
def test_what_differs_does_not_match(change: object) -> None:
    assert callable(change)
    others = [change(each) if index % 4 == 0 else each for index, each in enumerate(some())]
    assert symbols_f1(some(), others) == symbols_f1(others, some()) == 0.75


def test_places_may_differ_by_half_a_staff_space() -> None:
    moved = [replace(each, x=each.x + 0.4 * STAFF_SPACE_PX, confidence=0.2) for each in some()]
    assert symbols_f1(some(), moved) == 1


def test_each_symbol_matches_one_at_most_the_nearest_first() -> None:
    assert symbols_f1([symbol(0, 0)], [symbol(0, 0), symbol(1, 1), symbol(2, 2)]) == 0.5
    assert symbols_f1([symbol(0, 0), symbol(4, 0)], [symbol(1, 0), symbol(3, 0)]) == 1
