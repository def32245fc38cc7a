"""What Prometheus is told of the agent."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

READY: Final = Gauge(
    "copyist_sync_ready",
    "Whether a version that the manifest names is loaded on this Triton and has answered once.",
    ["model", "version"],
)
FAILED: Final = Gauge(
    "copyist_sync_failed",
    "Whether a version that the manifest names cannot be served by this Triton, for a reason of its own.",
    ["model", "version"],
)
FAILURES: Final = Counter(
    "copyist_sync_failures_total",
    "Failed attempts to bring a version to this Triton: store, disk, damaged, load, warm-up or crash.",
    ["model", "version", "reason"],
)
REVISION: Final = Gauge(
    "copyist_sync_revision", "Newest revision of the release manifest that is wholly in force on this Triton."
)
SECONDS: Final = Histogram(
    "copyist_sync_seconds",
    "Seconds from the sight of a release manifest until it was wholly in force on this Triton.",
    buckets=(0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600),
)
