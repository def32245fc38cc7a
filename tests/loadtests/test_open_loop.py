"""Requests leave at their planned times, whatever becomes of earlier ones."""

from __future__ import annotations

import time

import gevent
import pytest

from loadtests.arrivals import Arrival
from loadtests.kinds import KINDS
from loadtests.open_loop import OpenLoop

PLAN = [Arrival(0.05 * number, KINDS[0]) for number in range(10)]


class Log:
    """Requests that each take `seconds`, and when they were sent."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.sent: list[tuple[float, float]] = []
        self.not_sent: list[float] = []
        self.answered = 0

    def send(self, _: Arrival, planned: float) -> None:
        self.sent.append((planned, time.perf_counter()))
        gevent.sleep(self.seconds)
        self.answered += 1

    def refuse(self, _: Arrival, planned: float) -> None:
        self.not_sent.append(planned)


def test_a_slow_answer_holds_up_nothing() -> None:
    log = Log(seconds=0.6)
    loop = OpenLoop(log.send, 100, log.refuse)
    start = time.perf_counter()
    loop.play(PLAN, start)
    gevent.sleep(0)
    assert loop.in_flight == len(PLAN)
    assert log.answered == 0
    assert [planned - start for planned, _ in log.sent] == pytest.approx([each.at_s for each in PLAN])
    assert all(0 <= sent - planned < 0.2 for planned, sent in log.sent)
    assert loop.drain(5.0) == 0
    assert log.answered == len(PLAN)
    assert time.perf_counter() - start < 2


def test_as_many_in_flight_as_allowed_and_the_rest_is_told_of() -> None:
    log = Log(seconds=0.22)
    loop = OpenLoop(log.send, 2, log.refuse)
    loop.play(PLAN, time.perf_counter())
    loop.drain(5.0)
    assert len(log.sent) + len(log.not_sent) == len(PLAN)
    assert len(log.sent) == pytest.approx(4, abs=1)


def test_what_does_not_end_is_given_up() -> None:
    log = Log(seconds=60)
    loop = OpenLoop(log.send, 100, log.refuse)
    loop.play(PLAN, time.perf_counter())
    began = time.perf_counter()
    assert loop.drain(0.2) == len(PLAN)
    assert time.perf_counter() - began < 1
    assert loop.in_flight == 0
    assert log.answered == 0


def test_a_plan_that_is_late_is_sent_at_once() -> None:
    log = Log(seconds=0)
    loop = OpenLoop(log.send, 100, log.refuse)
    began = time.perf_counter()
    loop.play(PLAN, began - 10)
    loop.drain(1.0)
    assert time.perf_counter() - began < 0.3
    assert len(log.sent) == len(PLAN)
