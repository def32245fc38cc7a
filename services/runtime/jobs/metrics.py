"""What workers count. (How many jobs there are is told by `gauges`, by services and workers alike.)"""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from services.runtime.metrics import SECONDS_BUCKETS

FINISHED: Final = Counter("copyist_jobs_finished_total", "Jobs that ended.", ["service", "state"])
STAGE_SECONDS: Final = Histogram(
    "copyist_job_stage_seconds",
    "Seconds that a stage took, waiting for what was away included; `queued` until a job was first begun.",
    ["service", "stage"],
    buckets=SECONDS_BUCKETS,
)
UNDER_WAY: Final = Gauge("copyist_jobs_under_way", "Jobs that this worker works on now.", ["service"])
TAKEN_OVER: Final = Counter(
    "copyist_jobs_taken_over_total", "Jobs and webhooks taken from workers that were lost.", ["service"]
)
WEBHOOKS: Final = Counter("copyist_webhook_calls_total", "Calls of webhooks, by result.", ["result"])
EXPIRED: Final = Counter("copyist_jobs_expired_total", "Jobs forgotten with their files.", ["service"])
