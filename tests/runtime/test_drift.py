"""The population stability index and its chance level."""

from __future__ import annotations

import math

import numpy as np
import pytest

from services.runtime.drift import chance_level, drifted, psi


def test_psi_is_that_of_the_smoothed_shares() -> None:
    # 8 live observations, 6 and 2; 18 in the reference, half and half: (6.5, 2.5) of 9, (9.5, 9.5) of 19.
    p, q = 6.5 / 9, 0.5
    expected = (p - q) * math.log(p / q) + (q - p) * math.log((1 - p) / (1 - q))
    assert psi([6, 2], [0.5, 0.5], 18) == pytest.approx(expected)


def test_psi_of_the_same_shares_is_nothing_and_of_disjoint_ones_is_finite() -> None:
    assert psi([30, 70], [0.3, 0.7], 100) == pytest.approx(0)
    assert 2 < psi([100, 0], [0.0, 1.0], 100) < 20


def test_the_chance_level_is_what_samples_of_one_population_have_on_average() -> None:
    random = np.random.default_rng(3)
    shares = np.array([0.1, 0.2, 0.3, 0.25, 0.15])
    live, known = 400, 900
    values = [
        psi(random.multinomial(live, shares), random.multinomial(known, shares) / known, known)
        for _ in range(600)
    ]
    assert np.mean(values) == pytest.approx(chance_level(5, live, known), rel=0.1)


def test_no_observation_can_be_drift() -> None:
    assert chance_level(5, 0, 100) == math.inf
    assert not drifted(5.0, chance_level(5, 0, 100))


@pytest.mark.parametrize(
    ("value", "chance", "drift"), [(0.25, 0.05, True), (0.25, 0.1, False), (0.15, 0.01, False)]
)
def test_drift_is_much_and_more_than_chance(value: float, chance: float, drift: bool) -> None:
    assert drifted(value, chance) is drift


def test_of_one_population_drift_is_rarely_seen_even_in_small_samples() -> None:
    random = np.random.default_rng(4)
    shares = np.full(10, 0.1)
    for live in (5, 20, 100, 1000):
        chance = chance_level(10, live, 400)
        alarms = sum(
            drifted(psi(random.multinomial(live, shares), random.multinomial(400, shares) / 400, 400), chance)
            for _ in range(500)
        )
        assert alarms <= 1
