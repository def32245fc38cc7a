"""How often, and how many at once, one owner may call one process."""

from __future__ import annotations

import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from services.errors import OverloadedError, RateLimitedError

_MINUTE_S: Final = 60.0
#: Owners remembered; of more, the one that called longest ago is forgotten and starts anew.
MOST_OWNERS: Final = 10_000


class RateLimit:
    """Lets each owner call so many times a minute.

    An owner's calls are a bucket that is full at first and fills evenly, a whole one within a minute (the
    generic cell rate algorithm: all that is remembered of an owner is when its bucket will be full again).

    Args:
        per_minute: how many calls.
        clock: tells the time in seconds.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._interval_s = _MINUTE_S / per_minute
        self._clock = clock
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def take(self, owner: str) -> None:
        """Count one call.

        Raises:
            RateLimitedError: the owner has none left; it tells when there will be one.
        """
        now = self._clock()
        full_at = max(now, self._full_at.get(owner, now)) + self._interval_s
        if (wait_s := full_at - now - _MINUTE_S) > 1e-9:
            raise RateLimitedError(
                f"There were more than {self._per_minute} calls within a minute "
                "(COPYIST_REQUESTS_PER_MINUTE).",
                remedy="Wait as long as Retry-After says; follow a job by its events, not by asking again.",
                retry_after_s=math.ceil(wait_s),
            )
        self._full_at[owner] = full_at
        self._full_at.move_to_end(owner)
        if len(self._full_at) > MOST_OWNERS:
            self._full_at.popitem(last=False)


class ConcurrencyLimit:
    """Lets each owner have so many calls served at once.

    Args:
        most: how many.
        which: what kind of calls.
        setting: the variable that says how many.
    """

    def __init__(self, most: int, which: str, setting: str) -> None:
        self._most = most
        self._which = which
        self._setting = setting
        self._served: Counter[str] = Counter()

    @contextmanager
    def hold(self, owner: str) -> Iterator[None]:
        """Count one call for as long as the block takes.

        Raises:
            OverloadedError: the owner has as many already as it may.
        """
        if self._served[owner] >= self._most:
            raise OverloadedError(
                f"{self._most} {self._which} of the same owner are being served already ({self._setting}).",
                remedy="Wait until one of them has been answered, or hand long work in as jobs.",
                retry_after_s=1,
            )
        self._served[owner] += 1
        try:
            yield
        finally:
            self._served[owner] -= 1
            if not self._served[owner]:
                del self._served[owner]
