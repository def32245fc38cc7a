"""Profiles: what a model is given and what it answers, as histograms over fixed bins, for watching drift.

An observation (a recording, a page) adds a mass of 1 to each of its features, spread over the bins as its
parts are, so that long ones count no more than short ones and masses add up over a fleet. It also passes or
fails checks that need no labels, such as whether a measure adds up. A model's card carries the mean over its
reference observations; services export it beside what they count, so that Prometheus compares the two
(`services.runtime.drift` is the same comparison in Python).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from prometheus_client import Counter, Gauge

log = logging.getLogger("copyist.profiles")

_PASSED: Final = ("yes", "no")

#: Inner edges of the bins of each feature, by its name; the first and the last bin are open.
Edges = Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Observation:
    """What was measured of a recording or a page, and of what was made of it.

    Attributes:
        features: by name the share in each bin, one more than there are edges; all zero where there was
            nothing to measure.
        checks: by name how many passed, and how many there were.
    """

    features: Mapping[str, tuple[float, ...]]
    checks: Mapping[str, tuple[int, int]]


_MASS: Final = Counter(
    "copyist_profile_mass_total",
    "Mass in each bin of each feature, 1 per observation; bin 0 is below the first edge of the model's "
    "reference profile.",
    ["model", "version", "feature", "bin"],
)
_REFERENCE_SHARE: Final = Gauge(
    "copyist_reference_share",
    "Share of the model's reference observations in each bin of each feature.",
    ["model", "version", "feature", "bin"],
    multiprocess_mode="livemax",
)
_REFERENCE_SIZE: Final = Gauge(
    "copyist_reference_size",
    "Number of the model's reference observations.",
    ["model", "version"],
    multiprocess_mode="livemax",
)
_CHECKS: Final = Counter(
    "copyist_checks_total",
    "Checks of what was found that need no labels, by whether they passed.",
    ["model", "version", "check", "passed"],
)
_REFERENCE_PASSED: Final = Gauge(
    "copyist_reference_passed",
    "Share of a check's cases that passed among the model's reference observations.",
    ["model", "version", "check"],
    multiprocess_mode="livemax",
)


def shares(values: Sequence[float] | NDArray[Any], edges: tuple[float, ...]) -> tuple[float, ...]:
    """Tell which share of the values lies in each bin; all zero where there is none."""
    counts = np.bincount(np.digitize(values, edges), minlength=len(edges) + 1)
    return tuple((counts / max(len(values), 1)).tolist())


def reference(observations: Iterable[Observation], edges: Edges) -> dict[str, Any]:
    """Make a card's reference profile of the reference observations.

    Returns:
        `observations`: their number; `features`: by name its `edges` and mean `shares`, which sum to 1;
        `checks`: by name the share that passed.
    """
    measured = list(observations)
    features = {}
    for feature, inner in edges.items():
        mass = np.sum([each.features[feature] for each in measured], axis=0)
        features[feature] = {"edges": list(inner), "shares": (mass / max(mass.sum(), 1e-12)).tolist()}
    checks = {}
    for check in measured[0].checks:
        passed, cases = np.sum([each.checks[check] for each in measured], axis=0)
        checks[check] = float(passed / max(cases, 1))
    return {"observations": len(measured), "features": features, "checks": checks}


def declare(model: str, version: str, card: Mapping[str, Any], edges: Edges) -> None:
    """Export a model's reference profile, and begin to count for it: every bin from 0.

    A counter that first appears with a value would hide that value from Prometheus' `increase`. A feature
    that the card does not have in the very same bins is counted but not compared.
    """
    stated = card.get("profile", {})
    _REFERENCE_SIZE.labels(model, version).set(stated.get("observations", 0))
    for feature, inner in edges.items():
        for number in range(len(inner) + 1):
            _MASS.labels(model, version, feature, str(number))
        known = stated.get("features", {}).get(feature)
        if known is None or tuple(known["edges"]) != inner:
            log.warning("the card of %s has no reference for %s in the bins that are counted", model, feature)
            continue
        for number, share in enumerate(known["shares"]):
            _REFERENCE_SHARE.labels(model, version, feature, str(number)).set(share)
    for check, share in stated.get("checks", {}).items():
        _REFERENCE_PASSED.labels(model, version, check).set(share)
        for passed in _PASSED:
            _CHECKS.labels(model, version, check, passed)


def count(model: str, version: str, observation: Observation) -> None:
    """Count one observation."""
    for feature, masses in observation.features.items():
        for number, mass in enumerate(masses):
            _MASS.labels(model, version, feature, str(number)).inc(mass)
    for check, (passed, cases) in observation.checks.items():
        for label, number in zip(_PASSED, (passed, cases - passed), strict=True):
            _CHECKS.labels(model, version, check, label).inc(number)
