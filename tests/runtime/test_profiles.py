"""Profiles as Prometheus sees them."""

from __future__ import annotations

import logging
import uuid

import pytest
from prometheus_client import REGISTRY

from services.runtime import profiles

EDGES = {"size": (1.0, 2.0)}


@pytest.fixture
def model() -> str:
    """A name that no other test has used: metrics live as long as the process."""
    return uuid.uuid4().hex


def exported(name: str, model: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, {"model": model, "version": "1", **labels})


def card(*sizes: float) -> dict[str, object]:
    return {"profile": profiles.reference(map(observed, sizes), EDGES)}


def observed(size: float) -> profiles.Observation:
    """Something of a size, which passes one check of two where it is large."""
    return profiles.Observation(
        {"size": profiles.shares([size], EDGES["size"])}, {"good": (int(size > 2), 2)}
    )


def test_shares_are_those_of_the_bins_and_nothing_of_nothing() -> None:
    assert profiles.shares([0.5, 1.0, 1.5, 9.0], (1.0, 2.0)) == (0.25, 0.5, 0.25)
    assert profiles.shares([], (1.0, 2.0)) == (0, 0, 0)


def test_a_declared_model_exports_its_reference_and_every_bin_from_zero(model: str) -> None:
    profiles.declare(model, "1", card(0.0, 1.5, 1.7, 5.0), EDGES)
    assert exported("copyist_reference_size", model) == 4
    shares = [exported("copyist_reference_share", model, feature="size", bin=str(n)) for n in range(3)]
    assert shares == [0.25, 0.5, 0.25]
    masses = [exported("copyist_profile_mass_total", model, feature="size", bin=str(n)) for n in range(3)]
    assert masses == [0, 0, 0]
    assert exported("copyist_reference_passed", model, check="good") == 1 / 8
    assert exported("copyist_checks_total", model, check="good", passed="yes") == 0


def test_observations_add_up(model: str) -> None:
    for value in (0.5, 1.5, 1.6):
        profiles.count(model, "1", observed(value))
    assert exported("copyist_profile_mass_total", model, feature="size", bin="0") == 1
    assert exported("copyist_profile_mass_total", model, feature="size", bin="1") == 2
    profiles.count(model, "1", observed(9.0))
    assert exported("copyist_checks_total", model, check="good", passed="yes") == 1
    assert exported("copyist_checks_total", model, check="good", passed="no") == 7


@pytest.mark.parametrize("stated", [{}, {"size": {"edges": [1.0, 3.0], "shares": [0.2, 0.3, 0.5]}}])
def test_a_reference_in_other_bins_is_told_of_and_not_compared(
    model: str, stated: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        profiles.declare(model, "1", {"profile": {"observations": 9, "features": stated}}, EDGES)
    assert f"{model} has no reference for size" in caplog.text
    assert exported("copyist_reference_share", model, feature="size", bin="0") is None
    assert exported("copyist_profile_mass_total", model, feature="size", bin="0") == 0
