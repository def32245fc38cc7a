"""When a version that is no longer named may be unloaded."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

#: Seconds without an inference after which nobody is expected to ask for a version any more: services follow
#: a manifest within seconds, and jobs ask for one chunk or tile after another.
QUIET_S: Final = 10.0
#: Seconds after which a version goes in any case: who still asks for it is answered by another.
LONGEST_S: Final = 900.0


@dataclass(slots=True)
class _Seen:
    """A version that is to go: since when, how many inferences it had made, and since when that is so."""

    since: float
    inferences: int
    quiet_since: float


class Leaving:
    """The versions that are loaded and no longer named.

    Args:
        quiet_s: seconds without an inference before one goes.
        longest_s: seconds after which it goes in any case.
    """

    def __init__(self, quiet_s: float = QUIET_S, longest_s: float = LONGEST_S) -> None:
        self._quiet_s = quiet_s
        self._longest_s = longest_s
        self._seen: dict[tuple[str, str], _Seen] = {}

    def only(self, model: str, numbers: Collection[str]) -> None:
        """Forget all versions of a model but these: they are named again, or gone."""
        for key in [key for key in self._seen if key[0] == model and key[1] not in numbers]:
            del self._seen[key]

    def may_go(self, model: str, number: str, inferences: int) -> bool:
        """Whether a version may be unloaded, given how many inferences it has made so far."""
        now = time.monotonic()
        seen = self._seen.setdefault((model, number), _Seen(now, inferences, now))
        if inferences != seen.inferences:
            seen.inferences, seen.quiet_since = inferences, now
        return now - seen.quiet_since >= self._quiet_s or now - seen.since >= self._longest_s
