"""Hearing early that the process is to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from types import FrameType
from typing import Final

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


def _chained(
    first: Callable[[], object], then: Callable[[int, FrameType | None], object] | int | None
) -> Callable[[int, FrameType | None], None]:
    def handle(number: int, frame: FrameType | None) -> None:
        first()
        if callable(then):
            then(number, frame)

    return handle
