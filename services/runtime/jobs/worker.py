"""A worker: a process that does the jobs of one service."""

from __future__ import annotations

from collections.abc import Callable

from services.runtime.jobs.stages import JobBackend
from services.runtime.settings import Settings


def run_worker(
    service: str, backend: Callable[[Settings], JobBackend], settings: Settings, port: int
) -> None:
    """Do a service's jobs until the process is told to end (SIGTERM or SIGINT).

    Args:
        service: whose jobs, `amt` or `omr`.
        backend: makes the service's inside, within the worker's event loop.
        settings: as the operator has them.
        port: of the worker's own /livez, /readyz and /metrics, on `settings.host`.

    Raises:
        SchemaError: the database must be migrated first.
    """
    raise NotImplementedError
