"""Versions that could not be brought to Triton: why, and when to try again."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from services.errors import CopyistError
from services.runtime.files import is_full
from services.runtime.release.artefacts import UnknownVersionError
from services.runtime.release.index import DamagedArtefactError
from services.runtime.release.manifest import ModelVersion
from services.sync import metrics


class Reason(StrEnum):
    """Why a version could not be brought to Triton."""

    STORE = "store"
    DISK = "disk"
    DAMAGED = "damaged"
    LOAD = "load"
    WARM_UP = "warm-up"
    CRASH = "crash"

    @property
    def lasting(self) -> bool:
        """Whether it lies in the version, so that trying again is not expected to help."""
        return self not in (Reason.STORE, Reason.DISK)


#: Seconds before the second try, doubled with each further one up to the second number. A version during
#: whose loading Triton ended costs an outage each time.
_PAUSES_S: Final = {
    Reason.STORE: (2.0, 60.0),
    Reason.DISK: (5.0, 60.0),
    Reason.DAMAGED: (30.0, 600.0),
    Reason.LOAD: (30.0, 600.0),
    Reason.WARM_UP: (30.0, 600.0),
    Reason.CRASH: (120.0, 3600.0),
}


@dataclass(frozen=True, slots=True)
class Failure:
    """The last failure of a version.

    Attributes:
        reason: see there.
        said: the same for people.
        count: how many there were, one after another.
        again_at: when to try again, by the monotonic clock.
    """

    reason: Reason
    said: str
    count: int
    again_at: float


class Failures:
    """The failures of versions that are wanted."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, ModelVersion], Failure] = {}

    def of(self, model: str, version: ModelVersion) -> Failure | None:
        """Tell a version's last failure; None where it has not failed since it last went well."""
        return self._last.get((model, version))

    def waits(self, model: str, version: ModelVersion) -> bool:
        """Whether it is too early to try again."""
        failure = self.of(model, version)
        return failure is not None and time.monotonic() < failure.again_at

    def failed(self, model: str, version: ModelVersion, reason: Reason, error: CopyistError) -> Failure:
        """Take note of a failure."""
        before = self.of(model, version)
        count = before.count + 1 if before is not None and before.reason is reason else 1
        first_s, longest_s = _PAUSES_S[reason]
        pause_s = min(first_s * 2 ** min(count - 1, 16), longest_s)
        failure = Failure(reason, str(error), count, time.monotonic() + pause_s)
        self._last[model, version] = failure
        metrics.FAILURES.labels(model, version.number, str(reason)).inc()
        return failure

    def forget(self, model: str, version: ModelVersion) -> None:
        """Take note that it went well."""
        self._last.pop((model, version), None)

    def only(self, named: Collection[tuple[str, ModelVersion]]) -> None:
        """Forget all versions but these: one that is named anew is tried at once."""
        self._last = {key: failure for key, failure in self._last.items() if key in named}


def fetching_reason(error: CopyistError) -> Reason:
    """Tell why a version could not be fetched."""
    if isinstance(error, DamagedArtefactError | UnknownVersionError):
        return Reason.DAMAGED
    return Reason.DISK if is_full(error) else Reason.STORE
