"""Every alert fires on what it is for, and is silent a little short of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring.promtool import MONITORING, RULES, alerting_rules, check_rules
from tests.monitoring.scenarios import SCENARIOS, Scenario
from tests.monitoring.series import Series

RUNBOOK_HEADINGS = ("## Meaning", "## Impact", "## Diagnosis", "## Mitigation")


def alerts_of(scenario: Scenario, series: tuple[Series, ...], alerts: list[dict[str, Any]]) -> dict[str, Any]:
    """A test of promtool's."""
    return {
        "interval": "1m",
        "input_series": [each.told() for each in series],
        "alert_rule_test": [
            {"eval_time": f"{scenario.minutes}m", "alertname": scenario.alert, "exp_alerts": alerts}
        ],
    }


@pytest.mark.parametrize("number", range(len(SCENARIOS)), ids=lambda n: f"{SCENARIOS[n].alert}-{n}")
def test_an_alert_fires_on_what_it_is_for_and_is_silent_short_of_it(number: int, tmp_path: Path) -> None:
    scenario = SCENARIOS[number]
    file, rule = _file_with(scenario, tmp_path)
    expected = [{"exp_labels": {**scenario.labels, **rule["labels"]}}]
    check_rules(
        tmp_path,
        [alerts_of(scenario, scenario.fires, expected), alerts_of(scenario, scenario.silent, [])],
        rules=[file],
        every_minutes=1 if scenario.minutes < 200 else 10,
    )


def _file_with(scenario: Scenario, folder: Path) -> tuple[Path, dict[str, Any]]:
    """A copy of the alert's file with that one alert, and the alert.

    Without annotations: promtool wants to be told them too, and what they say depends on the value.
    """
    window = scenario.labels.get("window")
    for file in RULES:
        rules = yaml.safe_load(file.read_text())
        every = [rule for group in rules["groups"] for rule in group["rules"]]
        fitting = [
            rule
            for rule in every
            if rule.get("alert") == scenario.alert and rule["labels"].get("window") == window
        ]
        if fitting:
            (wanted,) = fitting
            for group in rules["groups"]:
                group["rules"] = [rule for rule in group["rules"] if "record" in rule or rule is wanted]
            wanted.pop("annotations")
            copy = folder / file.name
            copy.write_text(yaml.safe_dump(rules))
            return copy, wanted
    raise AssertionError(f"there is no alert {scenario.alert} with window {window}")


def test_every_alert_has_a_scenario() -> None:
    told = {(rule["alert"], rule["labels"].get("window")) for rule in alerting_rules()}
    assert told == {(scenario.alert, scenario.labels.get("window")) for scenario in SCENARIOS}


@pytest.mark.parametrize("rule", alerting_rules(), ids=lambda rule: rule["alert"])
def test_every_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    runbook = (MONITORING.parent / rule["annotations"]["runbook"]).read_text()
    assert runbook.startswith(f"# {rule['alert']}\n")
    places = [runbook.index(heading) for heading in RUNBOOK_HEADINGS]
    assert places == sorted(places)
