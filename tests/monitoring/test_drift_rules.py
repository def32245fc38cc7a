"""The recording rules of drift give what `services.runtime.drift` computes of the same masses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.runtime.drift import chance_level, psi
from tests.monitoring.promtool import MONITORING, RULES, check_rules, promtool
from tests.monitoring.series import Series, counter, gauge, selector

#: Mass that each bin gains in a minute in each of two replicas, by feature; then the reference's shares.
LIVE = {"moved": (0.9, 0.1), "still": (0.25, 0.75), "empty bins": (0.5, 0.5, 0.0, 0.0)}
REFERENCE = {"moved": (0.5, 0.5), "still": (0.25, 0.75), "empty bins": (0.0, 0.0, 0.4, 0.6)}
OF_MODEL = {"model": "piano", "version": "1"}
REFERENCE_SIZE = 100
REPLICAS = ("a", "b")
MINUTES = {"1h": 60, "1d": 1440}


def exported(minutes: int) -> Iterator[Series]:
    """What the replicas export, minute by minute."""
    for replica in REPLICAS:
        yield gauge("copyist_reference_size", {**OF_MODEL, "instance": replica}, REFERENCE_SIZE, minutes)
        for feature, masses in LIVE.items():
            for number, (mass, share) in enumerate(zip(masses, REFERENCE[feature], strict=True)):
                of = {**OF_MODEL, "feature": feature, "instance": replica, "bin": number}
                yield gauge("copyist_reference_share", of, share, minutes)
                yield counter("copyist_profile_mass_total", of, mass, minutes)


def expected(window: str) -> Iterator[dict[str, Any]]:
    """What the rules must say at the end of a window."""
    factor = MINUTES[window] * len(REPLICAS)
    for name, value in (
        (f"copyist:profile_size:{window}", lambda live, known: sum(live)),
        (f"copyist:psi:{window}", lambda live, known: psi(live, known, REFERENCE_SIZE)),
        (
            f"copyist:psi_chance:{window}",
            lambda live, known: chance_level(len(live), sum(live), REFERENCE_SIZE),
        ),
    ):
        samples = [
            {
                "labels": selector({**OF_MODEL, "feature": feature}),
                "value": rounded(value([mass * factor for mass in masses], REFERENCE[feature])),
            }
            for feature, masses in LIVE.items()
        ]
        # Rounded, as promtool asks for equal floats and the two add up in different orders.
        expression = f"round({name}, 1e-6)"
        yield {"expr": expression, "eval_time": f"{2 * MINUTES[window]}m", "exp_samples": samples}


def rounded(value: float) -> float:
    """Round as Prometheus does."""
    return math.floor(value * 1e6 + 0.5) / 1e6


@pytest.mark.parametrize("file", RULES, ids=lambda file: file.stem)
def test_the_rules_are_well_formed(file: Path) -> None:
    promtool("check", "rules", file)


@pytest.mark.parametrize("window", MINUTES)
def test_the_index_over_a_fleet_equals_the_one_computed_directly(window: str, tmp_path: Path) -> None:
    series = [each.told() for each in exported(2 * MINUTES[window])]
    check_rules(
        tmp_path,
        [{"interval": "1m", "input_series": series, "promql_expr_test": list(expected(window))}],
        rules=[MONITORING / "rules" / "drift.yaml"],
        every_minutes=MINUTES[window] // 12,
    )
