"""Hearing early that the process is to stop, and ending what would keep it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

from services.errors import TryAgainError

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def told_to_stop() -> asyncio.Event:
    """Make an event that is set once the process is told to stop; for programs that own their event loop.

    To be called in the main thread, in the running event loop.
    """
    told = asyncio.Event()
    for number in _SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    return told


def when_told_to_stop(act: Callable[[], None]) -> None:
    """Have something done, in the running event loop, as soon as the process is told to stop.

    The server that the process runs hears of it too, but its shut-down hooks come only after it has waited
    for all connections to end: too late to end those that would stay open for hours. To be called in the
    main thread, after the server has set its own handlers.
    """
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        signal.signal(number, _chained(lambda: loop.call_soon_threadsafe(act), signal.getsignal(number)))


class UnderWay:
    """What is under way in an event loop, and what becomes of it when there is no more time.

    The server would let a request go on until the process is killed, and its caller without an answer.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._over = False

    @contextmanager
    def one(self) -> Iterator[None]:
        """Be under way, in the task that runs, for as long as the block takes.

        Raises:
            TryAgainError: there is no more time.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - there is always one where something is awaited
        self._tasks.add(task)
        try:
            if self._over:
                raise _stopping()
            yield
        except asyncio.CancelledError:
            if not self._over:
                raise
            task.uncancel()
            raise _stopping() from None
        finally:
            self._tasks.discard(task)

    def end(self) -> None:
        """End all that is under way, and all that is to come."""
        self._over = True
        for task in self._tasks:
            task.cancel()


def _stopping() -> TryAgainError:
    return TryAgainError(
        "The process that served the request stops.",
        remedy="Send it again: another process takes it. What takes long is safe as a job.",
        retry_after_s=1,
    )


def _chained(
    first: Callable[[], object], then: Callable[[int, FrameType | None], object] | int | None
) -> Callable[[int, FrameType | None], None]:
    def handle(number: int, frame: FrameType | None) -> None:
        first()
        if callable(then):
            then(number, frame)

    return handle
