"""What Prometheus is told of a service's jobs; any of its processes tells of all."""

from __future__ import annotations

from typing import Final

from prometheus_client import Gauge

from services.runtime.jobs.job import JobState
from services.runtime.jobs.store import JobCounts

_JOBS: Final = Gauge(
    "copyist_jobs", "Jobs in the database, by state.", ["service", "state"], multiprocess_mode="mostrecent"
)
_OLDEST_QUEUED: Final = Gauge(
    "copyist_jobs_oldest_queued_seconds",
    "Seconds that the oldest queued job has waited.",
    ["service"],
    multiprocess_mode="mostrecent",
)
_WEBHOOKS_DUE: Final = Gauge(
    "copyist_webhooks_due",
    "Calls of webhooks that should be made, or are being made, now.",
    ["service"],
    multiprocess_mode="mostrecent",
)


def tell(service: str, counts: JobCounts) -> None:
    """Tell how much a service has to do."""
    for state in JobState:
        _JOBS.labels(service, state.value).set(counts.by_state.get(state, 0))
    _OLDEST_QUEUED.labels(service).set(counts.oldest_queued_s)
    _WEBHOOKS_DUE.labels(service).set(counts.webhooks_due)
