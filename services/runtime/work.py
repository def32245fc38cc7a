"""Work off the event loop, and how long each stage of it took."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import TypeVar

R = TypeVar("R")


async def in_thread(threads: Executor, work: Callable[[], R], cancelled: threading.Event | None = None) -> R:
    """Do the work in a thread; it has ended when this returns or raises.

    Args:
        threads: which take it.
        work: what to do.
        cancelled: set when the caller is cancelled, for work that looks at it now and then.
    """
    call = asyncio.get_running_loop().run_in_executor(threads, work)
    try:
        return await asyncio.shield(call)
    except asyncio.CancelledError:
        if cancelled is not None:
            cancelled.set()
        await asyncio.wait((call,))
        raise


@contextmanager
def timed(timings_s: dict[str, float], stage: str) -> Iterator[None]:
    """Add the seconds that a stage takes to those of its name."""
    started = time.perf_counter()
    yield
    timings_s[stage] = timings_s.get(stage, 0.0) + time.perf_counter() - started
