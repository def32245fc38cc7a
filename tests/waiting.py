"""Waiting for what happens elsewhere, and timing what a busy machine may hold up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

_EVERY_S = 0.05
#: So patient that a machine several times slower, with others at work on it, does not fail a test.
PATIENCE_S = 180.0
_TRIES = 3


def wait_for(condition: Callable[[], bool], limit_s: float = PATIENCE_S) -> None:
    """Wait until something is so; that it is not, within the limit, fails the test."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"not so within {limit_s} s"
        time.sleep(_EVERY_S)


def when(condition: Callable[[], bool], act: Callable[[], object]) -> threading.Thread:
    """Do something as soon as something else is so, in a thread of its own, which is given back."""

    def wait_and_act() -> None:
        wait_for(condition)
        act()

    thread = threading.Thread(target=wait_and_act)
    thread.start()
    return thread


def tried_enough(found: Sequence[float], enough: float) -> bool:
    """Whether one of a few tries stayed below a limit, or all of them are done."""
    return len(found) >= _TRIES or min(found, default=enough) < enough


def quickest_s(act: Callable[[], object], enough_s: float) -> float:
    """Time something where nothing holds it up: by the quickest of a few tries.

    Args:
        act: what is timed; it may be done several times.
        enough_s: the limit that it is held to; a try within it is the last.
    """
    taken_s: list[float] = []
    while not tried_enough(taken_s, enough_s):
        began = time.monotonic()
        act()
        taken_s.append(time.monotonic() - began)
    return min(taken_s)
