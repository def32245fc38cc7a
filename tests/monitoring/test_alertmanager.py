"""Alertmanager's configuration: who is told of what, what silences what, and retraining called for once."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.runtime.database import connect
from services.runtime.migrations import migrate
from services.trigger.decisions import Decision, RequestState
from services.trigger.store import RequestStore
from tests.databases import PostgresServer, free_port
from tests.monitoring.alerting import CONFIGURATION, Alertmanager, amtool, configuration
from tests.monitoring.promtool import alerting_rules
from tests.trigger.drifted import TOKEN, Trigger, labels
from tests.waiting import wait_for


def decisions(url: str) -> dict[str, int]:
    """How often each decision was taken."""
    database = connect(url)
    try:
        times: dict[str, int] = {}
        for each in RequestStore(database).decisions():
            times[each.decision] = times.get(each.decision, 0) + each.times
        return times
    finally:
        database.close()


@pytest.fixture
def triggers(tmp_path: Path, postgres_server: PostgresServer) -> Iterator[tuple[Trigger, Trigger]]:
    """Two triggers on one database, not started: replicas behind one address, in turn and at once."""
    url = postgres_server.new_database()
    database = connect(url)
    migrate(database)
    database.close()
    both = Trigger(tmp_path / "runs", url), Trigger(tmp_path / "runs", url)
    yield both
    both[0].end_runs()
    for trigger in both:
        trigger.stop()


@pytest.fixture
def alertmanager(tmp_path: Path, triggers: tuple[Trigger, Trigger]) -> Iterator[Alertmanager]:
    """The real one; it calls the first trigger."""
    alertmanager = Alertmanager(tmp_path / "alertmanager", triggers[0].http, TOKEN)
    alertmanager.start()
    yield alertmanager
    alertmanager.stop()


def test_alertmanagers_own_tool_has_nothing_against_it() -> None:
    amtool("check-config", str(CONFIGURATION))


@pytest.mark.parametrize("rule", alerting_rules(), ids=lambda rule: rule["alert"])
def test_every_alert_reaches_people_and_those_for_retraining_the_trigger(rule: dict[str, Any]) -> None:
    of = {"alertname": rule["alert"], **rule["labels"]}
    told = [f"{name}={value}" for name, value in of.items()]
    receivers = amtool("config", "routes", "test", f"--config.file={CONFIGURATION}", *told).strip().split(",")
    people = {"page": "on-call", "ticket": "tickets"}[of["severity"]]
    assert receivers == (["retraining", people] if of.get("action") == "retrain" else [people])


def test_what_silences_others_and_what_is_silenced_are_alerts_that_there_are() -> None:
    names = {rule["alert"] for rule in alerting_rules()}
    for rule in configuration()["inhibit_rules"]:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            name, pattern = re.split(r" =~? ", matcher)
            if name == "alertname":
                for one in pattern.strip('"').split("|"):
                    assert any(re.fullmatch(one, known) for known in names), one


def test_a_model_that_is_away_silences_what_follows_from_it(tmp_path: Path) -> None:
    alertmanager = Alertmanager(tmp_path, f"http://127.0.0.1:{free_port()}", TOKEN)
    away = {"alertname": "CopyistModelNotReady", "severity": "page", "service": "amt", "model": "piano"}
    burning = {"alertname": "CopyistErrorBudgetBurning", "severity": "page", "service": "amt", "window": "1h"}
    slowly = {**burning, "severity": "ticket", "window": "1d"}
    of_others = {**burning, "service": "omr"}
    stuck = {"alertname": "CopyistJobsStuck", "severity": "page", "service": "amt"}
    failing = {"alertname": "CopyistModelCallsFailing", "severity": "page", "model": "piano"}
    other_model = {**failing, "model": "symbols"}

    def heard() -> list[dict[str, str]]:
        return [each["labels"] for each in alertmanager.alerts() if not each["status"]["inhibitedBy"]]

    def in_order(alerts: list[dict[str, str]]) -> list[dict[str, str]]:
        return sorted(alerts, key=lambda alert: sorted(alert.items()))

    alertmanager.start()
    try:
        alertmanager.fire(burning, slowly, of_others, stuck, failing, other_model)
        wait_for(lambda: in_order(heard()) == in_order([burning, of_others, stuck, failing, other_model]))
        alertmanager.fire(away)
        wait_for(lambda: in_order(heard()) == in_order([away, of_others, other_model]))
    finally:
        alertmanager.stop()


def test_one_run_whatever_is_repeated_restarted_or_doubled(
    alertmanager: Alertmanager, triggers: tuple[Trigger, Trigger]
) -> None:
    first, second = triggers
    url = first.database_url
    drifted = [labels(), labels(feature="treble_db"), labels(alertname="CopyistValidityLow", check="ends")]
    alertmanager.fire(*drifted)
    # The receiver is away: Alertmanager tries again until it is there.
    wait_for(lambda: "connection refused" in alertmanager.log())
    first.start()
    second.start()
    wait_for(lambda: len(first.begun) == 1)
    assert decisions(url)[Decision.STARTED] == 1
    # Repeats, a receiver that was killed and comes back, Alertmanager itself started anew.
    wait_for(lambda: decisions(url).get(Decision.ALREADY_DONE, 0) >= 2 * len(drifted) - 1)
    first.stop(signal.SIGKILL)
    first.start()
    alertmanager.stop()
    alertmanager.start()
    alertmanager.fire(*drifted)
    before = decisions(url).get(Decision.ALREADY_DONE, 0)
    wait_for(lambda: decisions(url).get(Decision.ALREADY_DONE, 0) >= before + len(drifted))
    # A second Alertmanager, as in a pair of them, calls the second receiver.
    other = Alertmanager(alertmanager.folder.with_name("other"), second.http, TOKEN)
    other.start()
    try:
        other.fire(*drifted)
        wait_for(lambda: 'copyist_retraining_requests_total{decision="already-done"' in second.metrics())
        wait_for(lambda: not re.search(r'"already-done",model="piano"} 0\.0', second.metrics()))
    finally:
        other.stop()
    assert decisions(url)[Decision.STARTED] == 1
    assert len(first.begun) == 1
    alertmanager.resolve(*drifted)
    wait_for(lambda: decisions(url).get(Decision.RESOLVED, 0) >= len(drifted))
    # Whichever of the two sees the end writes it down.
    first.end_runs()
    wait_for(lambda: first.requests()[0].state is RequestState.SUCCEEDED)
    assert [each.message for each in first.requests()] == ["promoted: piano 2"]


def test_alerts_that_are_not_for_retraining_never_reach_the_trigger(
    alertmanager: Alertmanager, triggers: tuple[Trigger, Trigger]
) -> None:
    triggers[0].start()
    alertmanager.fire(
        {"alertname": "CopyistTargetDown", "severity": "ticket", "job": "copyist-amt"},
        labels(model="symbols"),
    )
    wait_for(lambda: len(triggers[0].begun) == 1)
    assert "retrain symbols" in triggers[0].begun[0]
    # Once it is repeated, the other would have been told, too.
    wait_for(lambda: Decision.ALREADY_DONE in decisions(triggers[0].database_url))
    assert set(decisions(triggers[0].database_url)) <= {Decision.STARTED, Decision.ALREADY_DONE}


def test_a_wrong_token_starts_nothing_and_is_told_in_alertmanagers_log(
    triggers: tuple[Trigger, Trigger], tmp_path: Path
) -> None:
    trigger = triggers[0]
    trigger.start()
    stranger = Alertmanager(tmp_path / "stranger", trigger.http, "another")
    stranger.start()
    try:
        stranger.fire(labels())
        wait_for(lambda: "status code 401" in stranger.log())
        assert 'copyist_retraining_calls_refused_total{status="401"}' in trigger.metrics()
    finally:
        stranger.stop()
    assert not trigger.requests()
