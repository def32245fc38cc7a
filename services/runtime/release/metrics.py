"""What Prometheus is told of the release that a process goes by."""

from __future__ import annotations

from typing import Final

from prometheus_client import Gauge

REVISION: Final = Gauge(
    "copyist_release_revision",
    "Revision of the release manifest that this process goes by.",
    multiprocess_mode="livemin",
)
READABLE: Final = Gauge(
    "copyist_release_readable",
    "Whether the release manifest can be read where it is kept; if not, this process goes by the last one.",
    multiprocess_mode="livemin",
)
SHARE: Final = Gauge(
    "copyist_release_share",
    "Share of the requests that a version answers (stable, canary) or gets a copy of (shadow), as this "
    "process chooses now: what is not ready has none.",
    ["model", "version", "role"],
    multiprocess_mode="livemostrecent",
)
