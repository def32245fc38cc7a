"""Which alerts start a retraining, and why others do not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from services.trigger.alerts import Alert
from services.trigger.decisions import Decision, RequestState, decide
from tests.trigger.drifted import NOW, POLICY, alert, request

DAY = timedelta(days=1)
ENDED = {"state": RequestState.SUCCEEDED, "requested_at": NOW - 9 * DAY, "ended_at": NOW - 8 * DAY}


def test_the_first_alert_of_a_reference_starts_a_retraining_and_says_why() -> None:
    verdict = decide(alert(), [], POLICY, NOW)
    assert verdict.decision is Decision.STARTED
    assert verdict.reason == "CopyistInputDrift: snr_db over 1d"


@pytest.mark.parametrize("state", RequestState)
def test_no_reference_gets_a_second_one_however_the_first_ended(state: RequestState) -> None:
    before = request(**ENDED | {"state": state})
    verdict = decide(alert(feature="pitch"), [before], POLICY, NOW)
    assert verdict.decision is Decision.ALREADY_DONE
    assert verdict.request_id == before.id
    assert str(state) in verdict.reason


def test_another_version_waits_for_the_run_that_goes_on() -> None:
    assert decide(alert(version="2"), [request()], POLICY, NOW).decision is Decision.UNDER_WAY
    other = request(model="symbols")
    assert decide(alert(version="2"), [other], POLICY, NOW).decision is Decision.STARTED


def test_the_cool_down_counts_from_the_end_of_the_last_run() -> None:
    just_ended = request(**ENDED | {"ended_at": NOW - timedelta(hours=23)})
    refused = decide(alert(version="2"), [just_ended], POLICY, NOW)
    assert refused.decision is Decision.COOLING_DOWN
    assert "2026-11-21T13:00Z" in refused.reason
    longer_ago = replace(just_ended, ended_at=NOW - timedelta(hours=24))
    assert decide(alert(version="2"), [longer_ago], POLICY, NOW).decision is Decision.STARTED


def test_the_budget_is_that_of_thirty_days_and_of_all_models() -> None:
    lately = [
        request(**ENDED | {"version": str(number), "requested_at": NOW - days * DAY, "model": model})
        for number, (days, model) in enumerate([(40, "piano"), (29, "symbols"), (20, "piano"), (10, "piano")])
    ]
    refused = decide(alert(version="9"), lately, POLICY, NOW)
    assert refused.decision is Decision.OVER_BUDGET
    assert "2026-11-22T12:00Z" in refused.reason
    assert "COPYIST_RETRAIN_PER_MONTH" in refused.reason
    assert decide(alert(version="9"), lately, POLICY, NOW + DAY).decision is Decision.STARTED


@pytest.mark.parametrize(
    "other",
    [
        alert(action="look"),
        alert(model="context"),
        Alert("a", True, {"alertname": "CopyistInputDrift", "action": "retrain", "model": "piano"}),
        Alert("a", True, {"alertname": "CopyistTargetDown"}),
        Alert("a", True, {}),
    ],
)
def test_other_alerts_start_nothing(other: Alert) -> None:
    assert decide(other, [], POLICY, NOW).decision is Decision.NOT_FOR_RETRAINING


def test_what_is_resolved_starts_nothing() -> None:
    assert decide(alert(firing=False), [], POLICY, NOW).decision is Decision.RESOLVED
