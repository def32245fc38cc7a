"""When to try again, and after how long."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

#: Answers that say "not now", as opposed to "not like this".
RETRYABLE_STATUSES: Final = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How patient a client is.

    The wait before retry n (from 0) is drawn evenly from the upper half of `base_s * 2**n` ("equal
    jitter"), so that clients refused together do not come back together. A `Retry-After` of the
    service is a lower bound, to which the jitter is added.

    Attributes:
        attempts: tries in all, the first included; 1 never tries again.
        base_s: the first wait, in seconds.
        longest_s: no wait is longer than this; if the service asks for more, the error is raised at once.
    """

    attempts: int = 4
    base_s: float = 0.5
    longest_s: float = 60.0

    def wait_s(self, retry: int, retry_after_s: float | None = None) -> float | None:
        """Seconds to wait before a retry, or None when there is to be none.

        Args:
            retry: how many retries there have been already.
            retry_after_s: what the service asked for.
        """
        if retry + 1 >= self.attempts:
            return None
        asked = retry_after_s or 0.0
        if asked > self.longest_s:
            return None
        backoff = min(self.base_s * 2.0**retry, self.longest_s)
        if asked:
            return asked + random.uniform(0.0, min(backoff, 0.1 * asked))  # noqa: S311 (no secret)
        return random.uniform(backoff / 2, backoff)  # noqa: S311 (no secret)


DEFAULT_RETRY: Final = RetryPolicy()


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
