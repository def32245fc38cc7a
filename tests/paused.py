"""A program of the local stack that stands still: it answers nothing, and yet no connection is closed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from services.local.stack import LocalStack
from tests.waiting import wait_for


@contextmanager
def paused(stack: LocalStack, name: str) -> Iterator[None]:
    """Let a program's process stand still within the block."""
    state = stack.state()
    assert state is not None
    process = state.programs[name].process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    try:
        wait_for(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)
