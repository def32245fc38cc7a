"""Copies of answered requests, for versions in the shadow: few at a time, dropped where there are more."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from typing import Final

from prometheus_client import Counter, Histogram

from services.errors import CopyistError
from services.runtime import afterwards

log = logging.getLogger("copyist.shadows")

#: Copies that are kept in memory until they are done, and so many bytes of them; more are dropped.
_MOST_KEPT: Final = 8
MOST_BYTES: Final = 64 << 20
#: Seconds after which a copy is given up.
_LIMIT_S: Final = 120.0

_REQUESTS: Final = Counter(
    "copyist_shadow_requests_total",
    "Copies of requests for a version in the shadow, by how they ended: ok, dropped, or the kind of problem.",
    ["model", "version", "outcome"],
)
_AGREEMENT: Final = Histogram(
    "copyist_shadow_agreement",
    "How far a version in the shadow agrees with what was answered, 0 to 1.",
    ["model", "version"],
    buckets=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 0.999, 1.0),
)


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of an answered request.

    Attributes:
        model, version: what it goes to.
        size_bytes: of what it keeps in memory while it waits.
        compare: has that version answer it; tells how far it agrees with what was answered, 0 to 1.
    """

    model: str
    version: str
    size_bytes: int
    compare: Callable[[], Awaitable[float]]


class Shadows:
    """Takes copies and does one after the other; used inside one event loop."""

    def __init__(self) -> None:
        self._waiting: deque[Copy] = deque()
        self._kept, self._bytes = 0, 0
        self._working: asyncio.Task[None] | None = None

    def offer(self, copy: Copy) -> None:
        """Do a copy once the request has been answered, or drop it where too many wait."""
        if self._kept >= _MOST_KEPT or self._bytes + copy.size_bytes > MOST_BYTES:
            _REQUESTS.labels(copy.model, copy.version, "dropped").inc()
            return
        self._kept += 1
        self._bytes += copy.size_bytes
        afterwards.do(partial(self._begin, copy))

    async def close(self) -> None:
        """Drop what waits, and end what is being done."""
        self._waiting.clear()
        if self._working is not None:
            self._working.cancel()
            await asyncio.wait((self._working,))

    def _begin(self, copy: Copy, answered: bool) -> None:
        if not answered:
            self._let_go(copy)
            return
        self._waiting.append(copy)
        if self._working is None or self._working.done():
            # In a context of its own: it goes on with copies of other requests than this one.
            self._working = asyncio.create_task(self._work(), context=Context())

    def _let_go(self, copy: Copy) -> None:
        self._kept -= 1
        self._bytes -= copy.size_bytes

    async def _work(self) -> None:
        while self._waiting:
            copy = self._waiting.popleft()
            try:
                await self._do(copy)
            finally:
                self._let_go(copy)

    async def _do(self, copy: Copy) -> None:
        outcome = "ok"
        try:
            async with asyncio.timeout(_LIMIT_S):
                agreement = await copy.compare()
            _AGREEMENT.labels(copy.model, copy.version).observe(agreement)
        except TimeoutError:
            outcome = "timed-out"
        except CopyistError as error:
            outcome = error.slug
            log.info("version %s of %s failed in the shadow: %s", copy.version, copy.model, error)
        except Exception:
            outcome = CopyistError.slug
            log.exception("version %s of %s failed in the shadow", copy.version, copy.model)
        _REQUESTS.labels(copy.model, copy.version, outcome).inc()
