"""Profiles: what a model is given and what it answers, as histograms over fixed bins, for watching drift.

An observation (a recording, a page) adds a mass of 1 to each of its features, spread over the bins as its
parts are, so that long ones count no more than short ones and masses add up over a fleet. A model's card
carries the mean over its reference observations; services export it beside what they count, so that
Prometheus compares the two (`services.runtime.drift` is the same comparison in Python).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from prometheus_client import Counter, Gauge

log = logging.getLogger("copyist.profiles")

#: Inner edges of the bins of each feature, by its name; the first and the last bin are open.
Edges = Mapping[str, tuple[float, ...]]
#: For each feature the share in each bin, one more than there are edges; all zero where nothing was measured.
Profile = Mapping[str, tuple[float, ...]]

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


def shares(values: Sequence[float] | NDArray[Any], edges: tuple[float, ...]) -> tuple[float, ...]:
    """Tell which share of the values lies in each bin; all zero where there is none."""
    counts = np.bincount(np.digitize(values, edges), minlength=len(edges) + 1)
    return tuple((counts / max(len(values), 1)).tolist())


def reference(profiles: Iterable[Profile], edges: Edges) -> dict[str, Any]:
    """Make a card's reference profile from those of the reference observations.

    Returns:
        `observations`: their number; `features`: by name its `edges` and mean `shares`, which sum to 1.
    """
    measured = list(profiles)
    features = {}
    for feature, inner in edges.items():
        mass = np.sum([profile[feature] for profile in measured], axis=0)
        features[feature] = {"edges": list(inner), "shares": (mass / max(mass.sum(), 1e-12)).tolist()}
    return {"observations": len(measured), "features": features}


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


def count(model: str, version: str, profile: Profile) -> None:
    """Count one observation."""
    for feature, masses in profile.items():
        for number, mass in enumerate(masses):
            _MASS.labels(model, version, feature, str(number)).inc(mass)
