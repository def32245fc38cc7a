"""What the released models' drift is measured against."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
import yaml

from services.operate.drift_figures import EDGES
from services.triton.environment import REPOSITORY_ROOT
from tests.monitoring.promtool import MONITORING

#: Of features whose values are mostly the same in ordinary traffic: no edge parts what is equal.
_MOSTLY_ONE_VALUE: Final = {"clipped_share", "unevenness", "midtone_share"}
_FULLEST: Final = 0.35


def card(model: str) -> dict[str, Any]:
    """A released model's card."""
    path = REPOSITORY_ROOT / "model_repository" / model / "card.json"
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


@pytest.mark.parametrize("model", EDGES)
def test_a_card_has_the_bins_that_are_counted(model: str) -> None:
    stated = card(model)["profile"]["features"]
    assert {name: tuple(each["edges"]) for name, each in stated.items()} == dict(EDGES[model])
    for each in stated.values():
        assert sum(each["shares"]) == pytest.approx(1)
        assert len(each["shares"]) == len(each["edges"]) + 1


@pytest.mark.parametrize("model", EDGES)
def test_no_bin_is_so_full_that_a_shift_could_hide_in_it(model: str) -> None:
    for name, each in card(model)["profile"]["features"].items():
        assert max(each["shares"]) < _FULLEST or name in _MOSTLY_ONE_VALUE, name


def test_the_rules_know_a_cause_of_every_feature_and_of_no_other() -> None:
    groups = yaml.safe_load((MONITORING / "rules" / "drift.yaml").read_text())["groups"]
    told = [
        feature
        for group in groups
        for rule in group["rules"]
        if rule.get("record") == "copyist:feature_cause"
        for feature in rule["expr"].split('"')[1].split("|")
    ]
    assert sorted(told) == sorted({feature for edges in EDGES.values() for feature in edges})
