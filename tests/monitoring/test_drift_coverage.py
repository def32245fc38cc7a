"""Every feature that is counted is watched, by one alert in each window, and no alert watches another."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from services.operate.drift_figures import EDGES, Window
from tests.monitoring.promtool import MONITORING

FEATURES = sorted({feature for edges in EDGES.values() for feature in edges})
_FEATURES = re.compile(r'feature=~?"([^"]*)"')
_CAUSES = re.compile(r'copyist:drift:(\w+)\{cause=~?"([^"]*)"\}')


def rules() -> list[dict[str, Any]]:
    """All rules of drift."""
    groups = yaml.safe_load((MONITORING / "rules" / "drift.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def features_by_cause() -> list[tuple[str, set[str]]]:
    """Each rule that gives features a cause: the cause, and the features."""
    return [
        (rule["labels"]["cause"], set(match[1].split("|")))
        for rule in rules()
        if rule.get("record") == "copyist:feature_cause" and (match := _FEATURES.search(rule["expr"]))
    ]


def alerts_by_cause(window: Window) -> dict[str, list[str]]:
    """The alerts of a window, by the causes that they fire on."""
    found: dict[str, list[str]] = {}
    for rule in rules():
        match = _CAUSES.search(rule["expr"]) if "alert" in rule else None
        if match is not None and match[1] == window:
            for cause in match[2].split("|"):
                found.setdefault(cause, []).append(rule["alert"])
    return found


@pytest.mark.parametrize("window", Window)
@pytest.mark.parametrize("feature", FEATURES)
def test_a_feature_has_one_cause_and_a_cause_one_alert(feature: str, window: Window) -> None:
    (cause,) = [cause for cause, features in features_by_cause() if feature in features]
    (_,) = alerts_by_cause(window)[cause]


def test_no_rule_speaks_of_a_feature_that_is_not_counted() -> None:
    assert sorted(feature for _, features in features_by_cause() for feature in features) == FEATURES
    causes = {cause for cause, _ in features_by_cause()}
    for window in Window:
        assert set(alerts_by_cause(window)) == causes
