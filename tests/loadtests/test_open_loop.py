"""Requests leave at their planned times, whatever becomes of earlier ones."""

from __future__ import annotations

import time

import gevent
import pytest
from gevent.event import Event

from loadtests.arrivals import Arrival
from loadtests.kinds import KINDS
from loadtests.open_loop import OpenLoop

PLAN = [Arrival(0.05 * number, KINDS[0]) for number in range(10)]


#: What a busy machine may add to a time; a loop that waits for answers would wait for ever.
SLACK_S = 30.0


class Log:
    """When requests were sent; they are answered when `answers` is set."""

    def __init__(self) -> None:
        self.answers = Event()
        self.sent: list[tuple[float, float]] = []
        self.not_sent: list[float] = []
        self.answered = 0

    def send(self, _: Arrival, planned: float) -> None:
        self.sent.append((planned, time.perf_counter()))
        self.answers.wait()
        self.answered += 1

    def refuse(self, _: Arrival, planned: float) -> None:
        self.not_sent.append(planned)


def test_a_slow_answer_holds_up_nothing() -> None:
    log = Log()
    loop = OpenLoop(log.send, 100, log.refuse)
    start = time.perf_counter()
    loop.play(PLAN, start)
    gevent.sleep(0)
    assert loop.in_flight == len(PLAN)
    assert log.answered == 0
    assert [planned - start for planned, _ in log.sent] == pytest.approx([each.at_s for each in PLAN])
    assert all(0 <= sent - planned < SLACK_S for planned, sent in log.sent)
    log.answers.set()
    assert loop.drain(60) == 0
    assert log.answered == len(PLAN)


def test_as_many_in_flight_as_allowed_and_the_rest_is_told_of() -> None:
    log = Log()
    loop = OpenLoop(log.send, 2, log.refuse)
    for sent in (2, 4):
        log.answers.clear()
        loop.play(PLAN, time.perf_counter())
        gevent.sleep(0)
        assert loop.in_flight == 2
        assert len(log.sent) == sent
        log.answers.set()
        assert loop.drain(60) == 0
    assert len(log.not_sent) == 2 * (len(PLAN) - 2)


def test_what_does_not_end_is_given_up() -> None:
    log = Log()
    loop = OpenLoop(log.send, 100, log.refuse)
    loop.play(PLAN, time.perf_counter())
    began = time.perf_counter()
    assert loop.drain(0.2) == len(PLAN)
    assert time.perf_counter() - began < SLACK_S
    assert loop.in_flight == 0
    assert log.answered == 0


def test_a_plan_that_is_late_is_sent_at_once() -> None:
    log = Log()
    log.answers.set()
    loop = OpenLoop(log.send, 100, log.refuse)
    plan = [Arrival(10.0 * number, each.kind) for number, each in enumerate(PLAN)]
    began = time.perf_counter()
    loop.play(plan, began - 100)
    assert time.perf_counter() - began < SLACK_S
    assert loop.drain(60) == 0
    assert len(log.sent) == len(PLAN)
