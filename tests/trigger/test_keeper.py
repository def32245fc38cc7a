"""Requests are kept going: started, tried again, and seen to their end, by whichever receiver comes first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from services.runtime.database import connect
from services.runtime.migrations import migrate
from services.trigger.decisions import RequestState, RetrainingRequest
from services.trigger.keeper import MOST_ATTEMPTS, Keeper
from services.trigger.starters import RunPhase, RunState, StartError
from services.trigger.store import RequestStore
from tests.trigger.drifted import POLICY, alert
from tests.waiting import wait_for


@dataclass
class Scripted:
    """A starter that does as it is told."""

    refuses: bool = False
    state: RunState = RunState(RunPhase.RUNNING)  # noqa: RUF009 - frozen
    started: list[str] = field(default_factory=list)

    def start(self, request: RetrainingRequest) -> None:
        if self.refuses:
            raise StartError("There is no room.")
        self.started.append(request.id)

    def look(self, request: RetrainingRequest) -> RunState:
        return self.state


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RequestStore]:
    database = connect(f"sqlite:///{tmp_path}/copyist.sqlite")
    migrate(database)
    yield RequestStore(database)
    database.close()


def keeper(store: RequestStore, starter: Scripted, first_wait_s: float = 0.0) -> Keeper:
    return Keeper(store, starter, POLICY.models, first_wait_s=first_wait_s)


def told(name: str) -> float | None:
    return REGISTRY.get_sample_value(name, {"model": "piano"})


def only(store: RequestStore) -> RetrainingRequest:
    (request,) = store.requests()
    return request


@pytest.mark.parametrize("phase", [RunPhase.SUCCEEDED, RunPhase.FAILED])
def test_a_request_is_started_once_and_seen_to_its_end(store: RequestStore, phase: RunPhase) -> None:
    starter = Scripted()
    first, second = keeper(store, starter), keeper(store, starter)
    store.decide([alert()], POLICY)
    for each in (first, second, first):
        each.round()
    assert starter.started == [only(store).id]
    assert only(store).state is RequestState.RUNNING
    assert told("copyist_retraining_running") == 1
    starter.state = RunState(phase, "promoted:\x1b piano 2")
    second.round()
    first.round()
    assert only(store).state is RequestState(phase.value)
    assert "piano 2" in only(store).message
    assert "\x1b" not in only(store).message
    assert told("copyist_retraining_running") == 0
    failed_at = told("copyist_retraining_last_failed_timestamp_seconds")
    assert bool(failed_at) is (phase is RunPhase.FAILED)
    first.round()
    assert len(starter.started) == 1


def test_a_start_that_fails_is_tried_again_and_given_up_in_the_end(store: RequestStore) -> None:
    starter = Scripted(refuses=True)
    kept = keeper(store, starter)
    before = told("copyist_retraining_start_failures_total") or 0
    store.decide([alert()], POLICY)
    kept.round()
    assert (only(store).state, only(store).message) == (RequestState.REQUESTED, "There is no room.")
    starter.refuses = False
    kept.round()
    assert (only(store).state, only(store).message) == (RequestState.RUNNING, "")
    assert told("copyist_retraining_start_failures_total") == before + 1
    starter.state = RunState(RunPhase.ABSENT)
    for _ in range(2 * MOST_ATTEMPTS):
        kept.round()
    assert only(store).state is RequestState.FAILED
    assert only(store).attempts == MOST_ATTEMPTS
    assert "Given up" in only(store).message


def test_a_start_is_not_tried_again_at_once(store: RequestStore) -> None:
    starter = Scripted(refuses=True)
    kept = keeper(store, starter, first_wait_s=60)
    store.decide([alert()], POLICY)
    kept.round()
    starter.refuses = False
    kept.round()
    assert starter.started == []
    assert only(store).attempts == 1


def test_a_run_that_vanished_is_started_again_under_its_name(store: RequestStore) -> None:
    starter = Scripted()
    kept = keeper(store, starter)
    store.decide([alert()], POLICY)
    kept.round()
    starter.state = RunState(RunPhase.ABSENT)
    kept.round()
    kept.round()
    assert starter.started == [only(store).id] * 2


def test_a_keeper_that_runs_is_woken_and_ends(store: RequestStore) -> None:
    starter = Scripted()
    kept = Keeper(store, starter, POLICY.models, every_s=60)
    kept.start()
    try:
        kept.check()
        kept.check_alive()
        store.decide([alert()], POLICY)
        kept.wake()
        wait_for(lambda: bool(starter.started))
    finally:
        kept.stop()
