"""What is counted of calls of the model server that requests wait for, as their caller sees them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from prometheus_client import Counter, Histogram

from services.errors import CopyistError, VersionMissingError
from services.runtime.release.manifest import Role

#: From a chunk on a GPU to a queue of a minute.
_BUCKETS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)

_CALLS = Counter(
    "copyist_model_calls_total",
    "Calls of the model server, by how they ended: ok, version-missing, or the kind of problem.",
    ["model", "version", "outcome"],
)
_RETRIES = Counter(
    "copyist_model_call_retries_total",
    "Calls of the model server that were tried again, by the kind of problem that they met.",
    ["model", "problem"],
)
_SECONDS = Histogram(
    "copyist_model_call_seconds",
    "Seconds that a call of the model server took: turn, hop, the server's queue and the model.",
    ["model", "version"],
    buckets=_BUCKETS,
)


@contextmanager
def observe(model: str, version: str, role: Role) -> Iterator[None]:
    """Count and time one call, unless it is a shadow's, which nobody waits for."""
    if role is Role.SHADOW:
        yield
        return
    started = time.perf_counter()
    outcome = "cancelled"
    try:
        yield
        outcome = "ok"
    except CopyistError as error:
        outcome = kind_of(error)
        raise
    except Exception:
        outcome = CopyistError.slug
        raise
    finally:
        _CALLS.labels(model, version, outcome).inc()
        _SECONDS.labels(model, version).observe(time.perf_counter() - started)


def kind_of(error: BaseException | None) -> str:
    """Name the kind of problem that a call met; callers of a service are not told all that finely."""
    if isinstance(error, VersionMissingError):
        return "version-missing"
    return error.slug if isinstance(error, CopyistError) else CopyistError.slug


def count_retry(model: str, problem: str) -> None:
    """Count that a call is tried again."""
    _RETRIES.labels(model, problem).inc()
