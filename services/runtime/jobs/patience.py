"""How long work is tried again that failed for a reason which may pass."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from services.errors import DatabaseUnavailableError, StorageUnavailableError, TryAgainError
from services.runtime.files import StorageFullError, is_full

R = TypeVar("R")

#: Seconds for which it is tried again, by what is away. A GPU node takes ten minutes to come; a disk that is
#: full seldom empties by itself. The database is waited for as long as the job may take: without it, nothing
#: could be told of the job anyway.
MODEL_PATIENCE_S: Final = 1800.0
STORAGE_PATIENCE_S: Final = 300.0
FULL_PATIENCE_S: Final = 8.0
_FIRST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 20.0


def patience_s(error: BaseException) -> float:
    """For how many seconds work is tried again that failed so; 0 where it would fail again."""
    if isinstance(error, DatabaseUnavailableError):
        return float("inf")
    if isinstance(error, StorageFullError) or is_full(error):
        return FULL_PATIENCE_S
    if isinstance(error, StorageUnavailableError):
        return STORAGE_PATIENCE_S
    return MODEL_PATIENCE_S if isinstance(error, TryAgainError) else 0.0


async def patiently(
    work: Callable[[], Awaitable[R]],
    *,
    limit_s: Callable[[BaseException], float] = patience_s,
    waits: Callable[[Exception], None] = lambda error: None,
) -> R:
    """Do the work, again with growing waits while it fails for a reason which may pass.

    Args:
        work: what to do, from its beginning each time.
        limit_s: for how many seconds after the first failure, by the error.
        waits: is told the reason before each wait.
    """
    failing_since: float | None = None
    wait_s = _FIRST_WAIT_S
    while True:
        try:
            return await work()
        except Exception as error:
            failing_since = failing_since or time.monotonic()
            if time.monotonic() + wait_s > failing_since + limit_s(error):
                raise
            waits(error)
        # Jitter, so that workers that lost the same thing do not all come back at the same moment.
        await asyncio.sleep(wait_s * random.uniform(0.8, 1.2))  # noqa: S311 - no secret
        wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
