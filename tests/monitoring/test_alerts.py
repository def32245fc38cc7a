"""Every alert fires on what it is for, and is silent a little short of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.monitoring.promtool import MONITORING, alerting_rules, check_rules, file_with
from tests.monitoring.scenarios import SCENARIOS

RUNBOOK_HEADINGS = ("## Meaning", "## Impact", "## Diagnosis", "## Mitigation")


@pytest.mark.parametrize("number", range(len(SCENARIOS)), ids=lambda n: f"{SCENARIOS[n].alert}-{n}")
def test_an_alert_fires_on_what_it_is_for_and_is_silent_short_of_it(number: int, tmp_path: Path) -> None:
    scenario = SCENARIOS[number]
    file, rule = file_with(scenario.alert, scenario.labels.get("window"), tmp_path)
    expected = [{"exp_labels": {**scenario.labels, **rule["labels"]}}]
    check_rules(
        tmp_path,
        [scenario.told(scenario.fires, expected), scenario.told(scenario.silent, [])],
        rules=[file],
        every_minutes=1 if scenario.minutes < 200 else 10,
    )


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
