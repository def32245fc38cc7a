"""The keys that a process has met, so that the database is asked for each only now and then.

What was found of a key counts for a few seconds, that there is no such key as well. Keys that must be asked
for are asked for together, one query at a time, so that however many callers show whatever keys, the database
sees one connection. While it does not answer, keys found within the last minutes go on counting.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from services.errors import CopyistError, DatabaseUnavailableError, OverloadedError
from services.runtime.door.keys import KeyRecord, KeyStore, shown
from services.runtime.door.principal import Principal

log = logging.getLogger("copyist.door")

#: Seconds that what was found counts: how long a revoked key may still be taken.
FRESH_S: Final = 5.0
#: Seconds that it counts when a wrong secret is shown with the key's name.
RECHECK_S: Final = 1.0
#: Seconds that it counts while the database does not answer.
KEPT_S: Final = 600.0
#: Keys remembered, and, apart from them, names that no key has.
MOST_KEYS: Final = 10_000
#: Seconds that a caller waits for the database.
PATIENCE_S: Final = 2.0
#: Seconds between two questions to a database that does not answer.
PAUSE_S: Final = 1.0
#: Seconds between two writings of when keys were used.
MARK_S: Final = 60.0
_MOST_WAITING: Final = 1000
_MOST_AT_ONCE: Final = 200


@dataclass(frozen=True, slots=True)
class _Found:
    """What the database said of a key, and when."""

    record: KeyRecord
    at: float


class KeyRing:
    """Checks keys; used within one event loop."""

    def __init__(self, store: KeyStore, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with no key.

        Args:
            store: the keys in the database.
            clock: tells the time in seconds.
        """
        self._store = store
        self._clock = clock
        self._known: OrderedDict[str, _Found] = OrderedDict()
        self._unknown: OrderedDict[str, float] = OrderedDict()
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._asking: asyncio.Task[None] | None = None
        self._asking_since = 0.0
        self._failed_at = float("-inf")
        self._used: dict[str, datetime] = {}
        # Of its own, as a database that hangs must not take the threads of other work; one asks, one writes.
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="keys")
        self._marking: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin to write down, now and then, when keys were used."""
        self._marking = asyncio.create_task(self._mark_now_and_then())

    async def close(self) -> None:
        """Write down what is not yet written, and stop."""
        if self._marking is not None:
            self._marking.cancel()
        with suppress(TimeoutError):
            await asyncio.wait_for(self.mark(), PATIENCE_S)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def principal(self, text: str) -> Principal | None:
        """Tell who calls with a key; None unless it counts.

        Raises:
            DatabaseUnavailableError: the database does not answer, and the key was not seen lately.
            OverloadedError: too many callers wait to hear of keys that were not seen before.
        """
        key = shown(text)
        if key is None:
            return None
        record = await self._record(key.id, FRESH_S)
        now = datetime.now(UTC)
        if record is not None and not record.proves(key.digest, now):
            record = await self._record(key.id, RECHECK_S)  # it may have been rotated since
        if record is None or not record.proves(key.digest, now):
            return None
        self._used[key.id] = now
        return record.principal()

    async def mark(self) -> None:
        """Write down when keys were used, since it was last written."""
        used, self._used = self._used, {}
        if not used:
            return
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._threads, self._store.mark_used, list(used), max(used.values()))
        except CopyistError as error:
            log.warning("when %d keys were last used could not be written: %s", len(used), error)
            self._used = {**used, **self._used}

    async def _record(self, key_id: str, fresh_s: float) -> KeyRecord | None:
        found, now = self._known.get(key_id), self._clock()
        if found is not None and now - found.at < fresh_s:
            return found.record
        if now - self._unknown.get(key_id, float("-inf")) < FRESH_S:
            return None
        try:
            await self._ask(key_id)
        except DatabaseUnavailableError:
            if found is not None and now - found.at < KEPT_S:
                return found.record
            raise
        answer = self._known.get(key_id)
        return answer.record if answer is not None else None

    async def _ask(self, key_id: str) -> None:
        """Have the database asked for a key, and wait until what it said is remembered."""
        now = self._clock()
        hangs = bool(self._waiting) and now - self._asking_since > PATIENCE_S
        if hangs or now - self._failed_at < PAUSE_S:
            raise _away()
        answer = self._waiting.get(key_id)
        if answer is None:
            if len(self._waiting) >= _MOST_WAITING:
                raise OverloadedError(
                    "Too many keys are being looked up.", remedy="Try again in a moment.", retry_after_s=1
                )
            answer = self._waiting[key_id] = asyncio.get_running_loop().create_future()
            if self._asking is None or self._asking.done():
                self._asking_since = now
                self._asking = asyncio.create_task(self._ask_for_all())
        try:
            await asyncio.wait_for(asyncio.shield(answer), PATIENCE_S)
        except TimeoutError:
            raise _away() from None

    async def _ask_for_all(self) -> None:
        """Ask the database until nobody waits."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            self._asking_since = self._clock()
            ids = list(self._waiting)[:_MOST_AT_ONCE]
            try:
                records = await loop.run_in_executor(self._threads, self._store.many, ids)
            except Exception as error:
                if not isinstance(error, DatabaseUnavailableError):
                    log.exception("keys cannot be looked up")
                self._fail()
                return
            for key_id in ids:
                self._remember(key_id, records.get(key_id))
                _settle(self._waiting.pop(key_id))

    def _remember(self, key_id: str, record: KeyRecord | None) -> None:
        now = self._clock()
        if record is None:
            self._known.pop(key_id, None)
            self._unknown[key_id] = now
            self._unknown.move_to_end(key_id)
            if len(self._unknown) > MOST_KEYS:
                self._unknown.popitem(last=False)
            return
        self._known[key_id] = _Found(record, now)
        self._known.move_to_end(key_id)
        if len(self._known) > MOST_KEYS:
            self._known.popitem(last=False)

    def _fail(self) -> None:
        self._failed_at = self._clock()
        waiting, self._waiting = self._waiting, {}
        for answer in waiting.values():
            if not answer.done():
                answer.set_exception(_away())
                answer.exception()  # nobody may be waiting any more, and then it need not be told

    async def _mark_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(MARK_S)
            await self.mark()


def _settle(answer: asyncio.Future[None]) -> None:
    if not answer.done():
        answer.set_result(None)


def _away() -> DatabaseUnavailableError:
    return DatabaseUnavailableError(
        "The database of keys does not answer.", remedy="Try again in a few seconds."
    )
