"""No request may take for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from services.runtime.problems import TimedOutError

R = TypeVar("R")


async def in_time(work: Awaitable[R], limit_s: int, smaller: str) -> R:
    """Wait for an answer, but not for longer than any request may take.

    Args:
        work: what makes it.
        limit_s: the limit, in seconds.
        smaller: what would take less, such as `a shorter recording`.

    Raises:
        TimedOutError: it took longer.
    """
    try:
        async with asyncio.timeout(limit_s):
            return await work
    except TimeoutError:
        raise TimedOutError(
            f"The request took longer than the limit of {limit_s} s (COPYIST_REQUEST_TIMEOUT_S).",
            remedy=f"Send {smaller}, or try again when the service is less busy.",
        ) from None
