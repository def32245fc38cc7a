"""The Locust users: one for each way of asking, each an open loop of Poisson arrivals.

A Locust user is a closed loop by nature: it runs a task, waits, and runs the next. Here the one task of a
user plays a whole plan of arrivals, each in a greenlet of its own (`loadtests.open_loop`), and there is one
user a way. Locust spawns the users, carries the events and keeps its own statistics.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, Final

import gevent
import grpc.experimental.gevent
from gevent.event import Event
from locust import User, task
from locust.exception import StopUser

from loadtests.arrivals import Arrival, poisson
from loadtests.callers import Answer, Caller, GrpcCaller, HttpCaller, JobCaller, Samples, Targets
from loadtests.kinds import Kind, of_way
from loadtests.open_loop import OpenLoop
from loadtests.records import DONE, NOT_SENT, UNFINISHED, Record

grpc.experimental.gevent.init_gevent()

#: Bounds what one user holds in memory and connections.
MOST_IN_FLIGHT: Final = 300


@dataclass
class Load:
    """What the users of a test share.

    Attributes:
        targets: where the services are.
        samples: what is sent.
        mix: how often each kind comes, as shares.
        rate_hz: requests a second, over all kinds.
        seconds: how long they come.
        drain_s: how long the last answers are waited for.
        seed: of the arrivals.
        start: from when arrivals count, on the clock of `time.perf_counter`.
        over: set to end before all have come; those under way are waited for.
        loops: the users' loops, once they run.
        records: what became of the requests, in the order in which it was known.
    """

    targets: Targets
    samples: Samples
    mix: Mapping[Kind, float]
    rate_hz: float
    seconds: float
    drain_s: float
    seed: int
    start: float
    over: Event = field(default_factory=Event)
    loops: list[OpenLoop] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)


class Outcome(Exception):  # noqa: N818 - Locust calls whatever is not a success an exception; most are none
    """Tells Locust of a request that was not answered well."""


class OpenLoopUser(User):
    """A way of asking. The test's `Load` is in `environment.parsed_options.load`."""

    abstract = True
    fixed_count = 1
    way: str

    def on_start(self) -> None:
        """Open connections."""
        self.load: Load = self.environment.parsed_options.load
        self.caller = self.make_caller(self.load)
        self.loop = OpenLoop(self._send, MOST_IN_FLIGHT, self._not_sent)
        self.load.loops.append(self.loop)

    def on_stop(self) -> None:
        """Close connections."""
        self.caller.close()

    @staticmethod
    def make_caller(load: Load) -> Caller:
        """Make what sends the requests."""
        raise NotImplementedError

    @task
    def play(self) -> None:
        """Send the whole plan, wait for the answers, and end."""
        load = self.load
        rates = {kind: share * load.rate_hz for kind, share in of_way(load.mix, self.way).items()}
        plan = poisson(rates, load.seconds, f"{load.seed} {self.way}")
        self.loop.play(takewhile(lambda _: not load.over.is_set(), plan), load.start)
        load.over.wait(max(0.0, load.start + load.seconds - time.perf_counter()))
        self.loop.drain(load.drain_s)
        raise StopUser

    def _send(self, arrival: Arrival, planned: float) -> None:
        sent_at = time.perf_counter()
        try:
            answer = self.caller.call(arrival.kind)
        except gevent.GreenletExit:
            self._tell(arrival, planned, sent_at, time.perf_counter(), UNFINISHED)
        else:
            self._tell(arrival, planned, sent_at, answer.ended_at, answer.outcome, answer)

    def _not_sent(self, arrival: Arrival, planned: float) -> None:
        now = time.perf_counter()
        self._tell(arrival, planned, now, now, NOT_SENT)

    def _tell(
        self,
        arrival: Arrival,
        planned: float,
        sent_at: float,
        ended_at: float,
        outcome: str,
        answer: Answer | None = None,
    ) -> None:
        latency_s, version = ended_at - planned, answer.version if answer else ""
        record = Record(arrival.kind, arrival.at_s, sent_at - planned, latency_s, outcome, version)
        self.environment.events.request.fire(
            request_type=self.way,
            name=arrival.kind.name,
            response_time=1000 * latency_s,
            response_length=answer.size if answer else 0,
            exception=None if outcome == DONE else Outcome(outcome),
            context={"record": record},
        )


class HttpUser(OpenLoopUser):
    """Asks over HTTP."""

    way = "http"

    @staticmethod
    def make_caller(load: Load) -> Caller:
        """Make what sends the requests."""
        return HttpCaller(load.targets, load.samples, MOST_IN_FLIGHT)


class GrpcUser(OpenLoopUser):
    """Asks over gRPC."""

    way = "grpc"

    @staticmethod
    def make_caller(load: Load) -> Caller:
        """Make what sends the requests."""
        return GrpcCaller(load.targets, load.samples)


class JobUser(OpenLoopUser):
    """Submits jobs over HTTP and follows them."""

    way = "job"

    @staticmethod
    def make_caller(load: Load) -> Caller:
        """Make what sends the requests."""
        return JobCaller(load.targets, load.samples, MOST_IN_FLIGHT)


USERS: Final = (HttpUser, GrpcUser, JobUser)


def listen(load: Load) -> Any:
    """Make the listener of Locust's `request` event that keeps the records."""

    def on_request(context: Mapping[str, Any], **_: Any) -> None:
        load.records.append(context["record"])

    return on_request
