"""Waiting for what happens elsewhere, in another process."""

from __future__ import annotations

import time
from collections.abc import Callable

_EVERY_S = 0.05


def wait_for(condition: Callable[[], bool], limit_s: float = 60) -> None:
    """Wait until something is so; that it is not, within the limit, fails the test."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"not so within {limit_s} s"
        time.sleep(_EVERY_S)
