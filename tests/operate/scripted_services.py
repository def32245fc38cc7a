"""A Prometheus that watches services which are told what to have done."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from services.operate.prometheus import Prometheus
from tests.databases import free_port
from tests.waiting import wait_for

#: How an answer's features lie in their bins, ordinarily.
CONFIDENCE: Final = (0.0, 0.1, 0.2, 0.7)
SCRAPED_EVERY_S: Final = 0.5


@dataclass
class Counted:
    """What services count, afresh after each start."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        of = ["model", "version"]
        self.calls = Counter("copyist_model_calls_total", "-", [*of, "outcome"], registry=self.registry)
        self.seconds = Histogram(
            "copyist_model_call_seconds", "-", of, buckets=(0.1, 0.2, 0.5, 1, 2, 5), registry=self.registry
        )
        self.mass = Counter(
            "copyist_profile_mass_total", "-", [*of, "feature", "bin"], registry=self.registry
        )
        self.checks = Counter("copyist_checks_total", "-", [*of, "check", "passed"], registry=self.registry)
        self.share = Gauge("copyist_reference_share", "-", [*of, "feature", "bin"], registry=self.registry)
        self.size = Gauge("copyist_reference_size", "-", of, registry=self.registry)
        self.ready = Gauge("copyist_sync_ready", "-", of, registry=self.registry)
        self.failed = Gauge("copyist_sync_failed", "-", of, registry=self.registry)
        self.failures = Counter("copyist_sync_failures_total", "-", [*of, "reason"], registry=self.registry)


class Services:
    """Services, and the model sync, on one port; they tell what they are told to have counted of `model`."""

    def __init__(self) -> None:
        self.model = "piano"
        #: A scrape sees all that is counted of an answer, or nothing of it.
        self.whole = threading.Lock()
        self.restart()
        services = self

        class Metrics(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with services.whole:
                    content = generate_latest(services.counted.registry)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Metrics)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def restart(self) -> None:
        """Begin to count from nothing."""
        self.counted = Counted()

    def release(self, version: str, *, reference: Sequence[float] = CONFIDENCE, size: float = 200) -> None:
        """Have a version ready, as services do that begin to count for it."""
        self.counted.ready.labels(self.model, version).set(1)
        self.counted.size.labels(self.model, version).set(size)
        for number, share in enumerate(reference):
            self.counted.share.labels(self.model, version, "confidence", number).set(share)

    def answer(
        self,
        version: str,
        number: int,
        *,
        seconds: float = 0.3,
        confidence: Sequence[float] = CONFIDENCE,
        valid: float = 1.0,
    ) -> None:
        """Answer so many recordings, each with one call."""
        counted, of = self.counted, (self.model, version)
        with self.whole:
            counted.calls.labels(*of, "ok").inc(number)
            for _ in range(number):
                counted.seconds.labels(*of).observe(seconds)
            for bin_, share in enumerate(confidence):
                counted.mass.labels(*of, "confidence", bin_).inc(share * number)
            counted.checks.labels(*of, "adds_up", "yes").inc(valid * number)
            counted.checks.labels(*of, "adds_up", "no").inc((1 - valid) * number)

    def fail(self, version: str, number: int) -> None:
        """Have so many calls fail."""
        self.counted.calls.labels(self.model, version, "model-error").inc(number)

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@dataclass
class Watched:
    """Services, and the Prometheus that watches them."""

    services: Services
    url: str
    folder: Path
    command: list[str]
    _process: subprocess.Popen[bytes] | None = None

    @property
    def prometheus(self) -> Prometheus:
        """The server, to be asked."""
        return Prometheus(self.url)

    def start(self) -> None:
        """Start Prometheus, or start it again with what it has recorded."""
        with (self.folder / "prometheus.log").open("ab") as log:
            self._process = subprocess.Popen(self.command, stdout=log, stderr=log)
        wait_for(self._ready)

    def stop(self) -> None:
        """Stop Prometheus."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def seen(self, metric: str, value: str, **labels: str) -> None:
        """Wait until Prometheus has seen a metric of the model, or of all, with such a value."""
        of = {"model": self.services.model, **labels} if labels else {}
        selector = ", ".join(f'{name}="{text}"' for name, text in of.items())
        wait_for(lambda: bool(self.prometheus.now(f"{metric}{{{selector}}} {value}")))

    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/-/ready", timeout=30).is_success
        except httpx.TransportError:
            return False


@contextmanager
def watched(folder: Path) -> Iterator[Watched]:
    """Services that do nothing yet, and a real Prometheus that asks them twice a second."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("Prometheus is not installed")
    services, port = Services(), free_port()
    configuration = folder / "prometheus.json"
    target = {"targets": [f"127.0.0.1:{services.port}"]}
    configuration.write_text(
        json.dumps(
            {
                "global": {"scrape_interval": f"{1000 * SCRAPED_EVERY_S:.0f}ms"},
                "scrape_configs": [{"job_name": "copyist-amt", "static_configs": [target]}],
            }
        )
    )
    command = [
        program,
        f"--config.file={configuration}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    running = Watched(services, f"http://127.0.0.1:{port}", folder, command)
    running.start()
    try:
        yield running
    finally:
        running.stop()
        services.close()
