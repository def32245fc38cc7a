"""How many requests of a mix a second the services can do, measured by a closed loop kind by kind.

A few requests of one kind keep two cores busy (one long one does so alone); their time on the clock, by
their number, is what one costs. The mix can then come as often as 1 / (sum of share times cost): roughly, as
kinds that would share the machine well are measured apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from gevent.pool import Pool

from loadtests.callers import Caller
from loadtests.kinds import Kind
from loadtests.records import DONE

#: Requests of each length, and how many of them at once.
_REQUESTS: Final = {"short": (8, 4), "long": (1, 1)}


class CapacityError(Exception):
    """A request failed with no other load."""


def cost_s(caller: Caller, kind: Kind) -> float:
    """Seconds of the whole machine that one request of a kind takes.

    Raises:
        CapacityError: one was not answered well.
    """
    number, at_once = _REQUESTS[kind.length]
    began = time.perf_counter()
    answers = Pool(at_once).map(caller.call, [kind] * number)
    for answer in answers:
        if answer.outcome != DONE:
            raise CapacityError(f"{kind.name} failed with no other load: {answer.outcome}.")
    ended_at: float = max(answer.ended_at for answer in answers)
    return (ended_at - began) / number


def capacity_hz(
    callers: Mapping[str, Caller], mix: Mapping[Kind, float], report: Callable[[str], None]
) -> float:
    """Requests of the mix a second.

    Raises:
        CapacityError: a request was not answered well.
    """
    work_s = 0.0
    for kind, share in mix.items():
        cost = cost_s(callers[kind.way], kind)
        work_s += share * cost
        report(f"  {kind.name:24}{cost:7.2f} s a request  {100 * share:5.1f} % of requests")
    return 1 / work_s
