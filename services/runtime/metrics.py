"""What every service counts about its requests, and how Prometheus reads it.

With several worker processes `prometheus_client` keeps its values in files of the folder that
PROMETHEUS_MULTIPROC_DIR names (BentoML sets it); then any worker's answer covers all of them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

# A second series for each, which tells when it began: nobody asks for it.
disable_created_metrics()  # type: ignore[no-untyped-call]

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
#: From a health check to an hour of audio.
SECONDS_BUCKETS: Final = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600)
#: From a scanned page to the largest upload that is accepted.
_UPLOAD_BUCKETS: Final = tuple(float(1 << power) for power in range(14, 29, 2))
_MULTIPROCESS_DIRECTORY: Final = "PROMETHEUS_MULTIPROC_DIR"

_REQUESTS = Counter(
    "copyist_requests_total", "Requests answered.", ["service", "protocol", "route", "status"]
)
_LATENCY = Histogram(
    "copyist_request_seconds",
    "Seconds from a request's arrival to the end of its answer.",
    ["service", "protocol", "route"],
    buckets=SECONDS_BUCKETS,
)
_IN_FLIGHT = Gauge(
    "copyist_requests_in_flight",
    "Requests being served now.",
    ["service", "protocol", "route"],
    multiprocess_mode="livesum",
)
_UPLOADS = Histogram(
    "copyist_upload_bytes",
    "Bytes of the files that a request brought, as far as they came; what wraps them over HTTP included.",
    ["service", "protocol"],
    buckets=_UPLOAD_BUCKETS,
)


class Observed:
    """A request while it is measured; `status` is told before it ends."""

    status = "500"


@contextmanager
def observe(service: str, protocol: str, route: str) -> Iterator[Observed]:
    """Count and time one request.

    Args:
        service: which service, such as `amt`.
        protocol: `http` or `grpc`.
        route: the route's template or the method's name, never a raw path.
    """
    request = Observed()
    started = time.perf_counter()
    in_flight = _IN_FLIGHT.labels(service, protocol, route)
    in_flight.inc()
    try:
        yield request
    finally:
        in_flight.dec()
        _REQUESTS.labels(service, protocol, route, request.status).inc()
        _LATENCY.labels(service, protocol, route).observe(time.perf_counter() - started)


def observe_upload(service: str, protocol: str, size_bytes: int) -> None:
    """Count how much a request brought."""
    _UPLOADS.labels(service, protocol).observe(size_bytes)


def exposition() -> bytes:
    """Write all metrics of all worker processes in Prometheus' text format."""
    directory = os.environ.get(_MULTIPROCESS_DIRECTORY)
    if not directory:
        return generate_latest(REGISTRY)
    _forget_dead_processes(Path(directory))
    registry = CollectorRegistry()
    MultiProcessCollector(registry, directory)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def _forget_dead_processes(directory: Path) -> None:
    """Drop the live gauges of workers that died: their requests are not in flight any more."""
    for file in directory.glob("gauge_live*_*.db"):
        pid = int(file.stem.rpartition("_")[2])
        if not Path(f"/proc/{pid}").exists():
            mark_process_dead(pid, str(directory))  # type: ignore[no-untyped-call]
