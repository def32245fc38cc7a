"""Planned arrivals are a Poisson process: by theory, not by the generator's own word."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from loadtests.arrivals import Arrival, poisson
from loadtests.kinds import KINDS

RATES = {KINDS[0]: 3.0, KINDS[5]: 1.0}
SECONDS = 2_000.0


@pytest.fixture(scope="module")
def plan() -> list[Arrival]:
    return list(poisson(RATES, SECONDS, seed=7))


def test_the_time_between_arrivals_is_exponential(plan: list[Arrival]) -> None:
    gaps = np.diff([0.0, *(arrival.at_s for arrival in plan)])
    assert stats.kstest(gaps, stats.expon(scale=1 / 4).cdf).pvalue > 0.01
    # Memoryless: one gap tells nothing of the next.
    assert abs(np.corrcoef(gaps[1:], gaps[:-1])[0, 1]) < 3 / np.sqrt(len(gaps))


def test_numbers_of_arrivals_scatter_as_they_should(plan: list[Arrival]) -> None:
    assert len(plan) == pytest.approx(4 * SECONDS, abs=4 * np.sqrt(4 * SECONDS))
    counts = np.histogram([arrival.at_s for arrival in plan], bins=500, range=(0, SECONDS))[0]
    assert counts.var() / counts.mean() == pytest.approx(1, abs=4 * np.sqrt(2 / 500))


def test_each_kind_comes_at_its_own_rate(plan: list[Arrival]) -> None:
    for kind, rate in RATES.items():
        own = sum(arrival.kind == kind for arrival in plan)
        assert own == pytest.approx(rate * SECONDS, abs=4 * np.sqrt(rate * SECONDS))


def test_a_seed_gives_the_same_plan_and_another_seed_another(plan: list[Arrival]) -> None:
    assert list(poisson(RATES, SECONDS, seed=7)) == plan
    assert list(poisson(RATES, SECONDS, seed=8)) != plan
    assert all(0 < arrival.at_s < SECONDS for arrival in plan)


def test_nothing_comes_of_nothing() -> None:
    assert list(poisson({}, SECONDS, seed=1)) == []
