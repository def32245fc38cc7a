"""When to try again, and after how long."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How patient a client is.

    The wait before retry n (from 0) is drawn evenly from the upper half of `base_s * 2**n` ("equal
    jitter"), so that clients refused together do not come back together. A `Retry-After` of the
    service is a lower bound, to which jitter is added.

    Attributes:
        attempts: tries in all, the first included, when the service fails or is out of reach; 1
            never tries again.
        base_s: the first wait, in seconds.
        longest_s: no wait is longer than this; if the service asks for more, the error is raised at once.
        busy_s: for how long in all to go on asking a service that is well but busy (429), in seconds.
    """

    attempts: int = 4
    base_s: float = 0.5
    longest_s: float = 60.0
    busy_s: float = 120.0


DEFAULT_RETRY: Final = RetryPolicy()


class Patience:
    """What is left of a client's patience with one request."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._failures = 0
        self._refusals = 0
        self._busy_s = 0.0

    def after_failure(self, retry_after_s: float | None = None) -> float | None:
        """Seconds to wait after a failure before the next try, or None when there is to be none."""
        self._failures += 1
        if self._failures >= self._policy.attempts:
            return None
        return self._wait_s(self._failures - 1, retry_after_s)

    def after_refusal(self, retry_after_s: float | None = None) -> float | None:
        """Seconds to wait when the service was busy, or None when it has been for too long."""
        wait_s = self._wait_s(self._refusals, retry_after_s)
        self._refusals += 1
        if wait_s is None or self._busy_s + wait_s > self._policy.busy_s:
            return None
        self._busy_s += wait_s
        return wait_s

    def _wait_s(self, retry: int, retry_after_s: float | None) -> float | None:
        backoff_s = min(self._policy.base_s * 2.0**retry, self._policy.longest_s)
        if not retry_after_s:
            return random.uniform(backoff_s / 2, backoff_s)  # noqa: S311 (no secret)
        if retry_after_s > self._policy.longest_s:
            return None
        return retry_after_s + random.uniform(0.0, min(backoff_s, 0.1 * retry_after_s))  # noqa: S311 (no secret)


def parse_retry_after(value: str | None) -> float | None:
    """Seconds of a `Retry-After` header (RFC 9110: seconds, or a date); None if absent or unreadable."""
    if not value:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())
