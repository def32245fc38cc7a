"""Processes for CPU work that holds Python's lock too long for the event loop's own process."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any, ParamSpec, TypeVar

from services.errors import CopyistError
from services.runtime import logs, tracing
from services.runtime.parent import end_with_parent
from services.runtime.problems import TimedOutError

P = ParamSpec("P")
R = TypeVar("R")


class Processes:
    """Processes that take one call each; one that dies or takes too long is replaced by a new one."""

    def __init__(self, size: int, *, warm_up: Callable[[], None], max_s: float) -> None:
        """Prepare the processes; each starts with its first call.

        Args:
            size: how many.
            warm_up: module-level function, called once in each to load what the calls need.
            max_s: seconds that one call may take.
        """
        self._warm_up = warm_up
        self._max_s = max_s
        self._all = {self._new() for _ in range(size)}
        self._free: asyncio.Queue[ProcessPoolExecutor] = asyncio.Queue()
        for process in self._all:
            self._free.put_nowait(process)

    async def run(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a module-level function with picklable arguments; waits while all processes are busy.

        Cancelling the caller ends the process.

        Raises:
            TimedOutError: the call took longer than the limit.
            CopyistError: the process died of it; or whatever the function raises.
        """
        with tracing.span("score process"):
            return await self._run(partial(function, *args, **kwargs))

    async def _run(self, work: Callable[[], R]) -> R:
        process = await self._free.get()
        try:
            loop = asyncio.get_running_loop()
            # A new process begins with this call, and its beginning is not the caller's time.
            await loop.run_in_executor(process, _nothing)
            call = loop.run_in_executor(process, _done, work, logs.bound(), tracing.active())
            result, stretches = await asyncio.wait_for(call, self._max_s)
            tracing.add(stretches)
            return result
        except TimeoutError:
            process = self._replaced(process)
            raise TimedOutError(
                f"Writing the score took longer than the limit of {self._max_s:g} s "
                "(COPYIST_MAX_ENGRAVING_S).",
                remedy="Ask for fewer formats (PDF and SVG take the longest) or send less at once.",
            ) from None
        except BrokenProcessPool:
            process = self._replaced(process)
            raise CopyistError(
                "The process that wrote the score died; another one has taken its place.",
                remedy="Try again; if it fails again, ask for fewer formats.",
            ) from None
        except asyncio.CancelledError:
            process = self._replaced(process)
            raise
        finally:
            self._free.put_nowait(process)

    async def warm_up(self) -> None:
        """Start all processes now."""
        await asyncio.gather(*(self.run(_nothing) for _ in self._all))

    def close(self) -> None:
        """End all processes."""
        for process in self._all:
            _end(process)

    def _new(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            1,
            # A fork of a process with threads and open connections may hang.
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin,
            initargs=(os.getpid(), logs.configured(), self._warm_up),
        )

    def _replaced(self, process: ProcessPoolExecutor) -> ProcessPoolExecutor:
        _end(process)
        self._all.discard(process)
        new = self._new()
        self._all.add(new)
        return new


def _begin(parent: int, logging: logs.Configured | None, warm_up: Callable[[], None]) -> None:
    """Begin a process: it must neither outlive its parent nor answer the terminal's Ctrl-C itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent(parent=parent)
    if logging is not None:
        logs.configure(*logging)
    warm_up()


def _done(
    work: Callable[[], R], bound: Mapping[str, Any], traced: bool
) -> tuple[R, Sequence[tracing.Stretch]]:
    """Do the work as part of the request that it is for."""
    with logs.bind(**bound), tracing.collect(traced) as stretches:
        return work(), stretches


def _nothing() -> None:
    """Do nothing, in a process that has begun."""


def _end(process: ProcessPoolExecutor) -> None:
    running = list((process._processes or {}).values())
    process.shutdown(wait=False, cancel_futures=True)
    for each in running:
        each.kill()
