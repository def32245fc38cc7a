"""Requests in the database: made once, taken by one, however many ask at the same moment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier

from services.runtime.database import Database, connect
from services.trigger.decisions import Decision, RequestState
from services.trigger.store import RequestStore
from tests.trigger.drifted import POLICY, alert

MINUTE = timedelta(minutes=1)
AT_ONCE = 8


def test_many_receivers_at_the_same_moment_make_one_request(database: Database, database_url: str) -> None:
    together = Barrier(AT_ONCE)

    def receive(number: int) -> list[Decision]:
        own = connect(database_url)
        try:
            together.wait(30)
            told = [alert(version=str(number % 2)), alert(version=str(number % 2), feature="pitch")]
            return [verdict.decision for verdict in RequestStore(own).decide(told, POLICY)]
        finally:
            own.close()

    with ThreadPoolExecutor(AT_ONCE) as threads:
        decided = [decision for each in threads.map(receive, range(AT_ONCE)) for decision in each]
    assert decided.count(Decision.STARTED) == 1, "version 0 or 1: the other has to wait for it"
    assert set(decided) == {Decision.STARTED, Decision.ALREADY_DONE, Decision.UNDER_WAY}
    (made,) = RequestStore(database).requests()
    assert (made.model, made.state, made.attempts) == ("piano", RequestState.REQUESTED, 0)


def test_repeats_are_counted_not_kept(database: Database) -> None:
    store = RequestStore(database)
    for _ in range(3):
        store.decide([alert()], POLICY)
    store.decide([alert(firing=False)], POLICY)
    resolved, repeated, started = store.decisions()
    assert (started.decision, started.times) == (Decision.STARTED, 1)
    assert (repeated.decision, repeated.times) == (Decision.ALREADY_DONE, 2)
    assert repeated.request_id == started.request_id == store.requests()[0].id
    assert repeated.first_at < repeated.last_at < resolved.last_at
    assert (resolved.decision, resolved.times, resolved.alert) == (
        Decision.RESOLVED,
        1,
        "CopyistInputDrift: snr_db over 1d",
    )


def test_one_of_many_takes_a_request_and_loses_it_when_it_says_nothing(database: Database) -> None:
    store = RequestStore(database)
    store.decide([alert()], POLICY)
    (made,) = store.requests()
    with ThreadPoolExecutor(AT_ONCE) as threads:
        taken = list(threads.map(lambda _: store.claim(made, MINUTE), range(AT_ONCE)))
    assert taken.count(True) == 1
    assert not store.claim(made, MINUTE)
    assert store.put_off(made, "no room", timedelta(0))
    (put_off,) = store.requests()
    assert (put_off.message, put_off.attempts) == ("no room", 1)
    assert store.claim(put_off, MINUTE)


def test_one_of_many_sees_the_end(database: Database) -> None:
    store = RequestStore(database)
    store.decide([alert()], POLICY)
    (made,) = store.requests()
    assert store.claim(made, MINUTE)
    assert store.started(made)
    assert not store.started(made)
    (running,) = store.requests()
    assert running.state is RequestState.RUNNING
    assert running.started_at is not None
    assert store.ended(running, RequestState.FAILED, "out of memory")
    assert not store.ended(running, RequestState.SUCCEEDED, "")
    assert not store.put_off(running, "again", MINUTE)
    (ended,) = store.requests()
    assert (ended.state, ended.message) == (RequestState.FAILED, "out of memory")
    assert ended.ended_at is not None
    assert not store.claim(replace(ended, state=RequestState.REQUESTED), MINUTE)
