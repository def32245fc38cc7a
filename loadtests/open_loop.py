"""Open-loop sending: requests leave at their planned times, whether or not earlier ones have been answered.

A closed loop, where each simulated user waits for its answer before it asks again, slows down with the
service that it measures and so leaves out the very requests that would have waited longest ("coordinated
omission"). Here the plan alone says when a request leaves, and its latency counts from the planned time: what
the generator itself was late by is part of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import gevent
from gevent.pool import Pool

from loadtests.arrivals import Arrival

#: What sends one request; the number is its planned time on the clock of `time.perf_counter`.
Send = Callable[[Arrival, float], None]


class OpenLoop:
    """Sends planned requests, each in a greenlet of its own.

    Args:
        send: sends one and waits for its answer; it must not raise.
        most_in_flight: bounds memory and connections; a request that finds so many in flight is not sent.
        not_sent: is told of each of those.
    """

    def __init__(self, send: Send, most_in_flight: int, not_sent: Send) -> None:
        self._send = send
        self._not_sent = not_sent
        self._pool = Pool(most_in_flight)

    @property
    def in_flight(self) -> int:
        """Requests sent and not answered."""
        return len(self._pool)

    def play(self, arrivals: Iterable[Arrival], start: float) -> None:
        """Send each request at its time, or at once where that has passed; returns after the last was sent.

        Args:
            arrivals: in time order.
            start: the time on `time.perf_counter` from which theirs count.
        """
        for arrival in arrivals:
            planned = start + arrival.at_s
            gevent.sleep(max(0.0, planned - time.perf_counter()))
            if self._pool.free_count():
                self._pool.spawn(self._send, arrival, planned)
            else:
                self._not_sent(arrival, planned)

    def drain(self, limit_s: float) -> int:
        """Wait for the answers that are still to come; gives how many requests were given up at the limit."""
        self._pool.join(timeout=limit_s)
        left = len(self._pool)
        self._pool.kill()
        return left
