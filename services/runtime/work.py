"""Work off the event loop, and how long each stage of it took."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import partial
from typing import Final, TypeVar

from services.runtime import tracing

R = TypeVar("R")

#: Variables for processes whose threads do stages: a stage is one thread's work, and several fill the cores.
#: Threads of a BLAS, which wait for one another by spinning, made preparing a page four times as slow.
ONE_THREAD_EACH: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

#: Is told how much of a stage is done, 0 to 1, and a word on it.
Progress = Callable[[float, str], None]


def unheard(done: float, message: str) -> None:
    """Progress that nobody waits for."""


async def in_thread(threads: Executor, work: Callable[[], R], cancelled: threading.Event | None = None) -> R:
    """Do the work in a thread; it has ended when this returns or raises.

    Args:
        threads: which take it.
        work: what to do.
        cancelled: set when the caller is cancelled, for work that looks at it now and then.
    """
    # Lines of the log and spans of the trace belong to the request there, too.
    work = partial(contextvars.copy_context().run, work)
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
    """Add the seconds that a stage takes to those of its name, and trace it by that name."""
    started = time.perf_counter()
    with tracing.span(stage):
        yield
    timings_s[stage] = timings_s.get(stage, 0.0) + time.perf_counter() - started
