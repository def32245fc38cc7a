"""A service with two serving processes: either tells Prometheus of both, and neither grows with its calls."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import psutil
import pytest
from prometheus_client.mmap_dict import MmapedDict

from services.triton.environment import REPOSITORY_ROOT
from tests.databases import free_port
from tests.exposition import exposed, values
from tests.waiting import wait_for

CALLS = "copyist_requests_total"
SECONDS = "copyist_request_seconds_count"
IN_FLIGHT = "copyist_requests_in_flight"


@dataclass
class Service:
    """The audio service as BentoML serves it, in two processes, without a model server."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    #: How often `call` was answered.
    calls: int = 0

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def files(self) -> Path:
        return self.folder / "bentoml" / "prometheus_multiproc_dir"

    def start(self) -> None:
        own = {
            "COPYIST_AMT_WORKERS": "2",
            "COPYIST_AMT_HTTP_PORT": str(self.port),
            "COPYIST_AMT_GRPC_PORT": str(free_port()),
            "COPYIST_TRITON_URL": f"127.0.0.1:{free_port()}",
            "COPYIST_DATABASE_URL": f"sqlite:///{self.folder}/copyist.sqlite",
            "COPYIST_FILES_URL": str(self.folder / "files"),
            "BENTOML_HOME": str(self.folder / "bentoml"),
            "BENTOML_DO_NOT_TRACK": "true",
        }
        command = [sys.executable, "-m", "bentoml", "serve", "services.amt.service:AudioService"]
        command += ["--working-dir", str(REPOSITORY_ROOT), "--host", "127.0.0.1", "--port", str(self.port)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=REPOSITORY_ROOT,
                env={**os.environ, **own},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for(lambda: self._lives() and len(self.serving()) == 2)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(120)
            self.process = None

    def serving(self) -> list[int]:
        """The processes that have counted a request and live."""
        return [pid for pid in self.counting() if psutil.pid_exists(pid)]

    def counting(self) -> list[int]:
        """The processes that have counted a request."""
        self.call()
        return sorted(
            int(file.stem.rpartition("_")[2])
            for file in self.files.glob("counter_*.db")
            if any(CALLS in key for key, *_ in MmapedDict.read_all_values_from_file(str(file)))
        )

    def call(self) -> None:
        """Ask for the models, over a new connection: there is no model server, so it answers 503."""
        assert httpx.get(f"{self.http}/v1/models", timeout=60).status_code == 503
        self.calls += 1

    def total(self, name: str, route: str = "/v1/models") -> float:
        return sum(values(exposed(self.http), name, route=route))

    def _lives(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "log").read_text()
        try:
            return httpx.get(f"{self.http}/livez").is_success
        except httpx.TransportError:
            return False


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    # What a former run has left behind would be taken for this one's.
    left = tmp_path / "bentoml" / "prometheus_multiproc_dir"
    left.mkdir(parents=True)
    (left / "counter_1.db").write_bytes(b"left over")
    service = Service(tmp_path, free_port())
    service.start()
    yield service
    service.stop()


def in_flight_at(service: Service) -> list[int]:
    """The processes that a call of /v1/transcribe is in flight at."""
    return [
        int(file.stem.rpartition("_")[2])
        for file in service.files.glob("gauge_livesum_*.db")
        for key, value, *_ in MmapedDict.read_all_values_from_file(str(file))
        if IN_FLIGHT in key and "/v1/transcribe" in key and value
    ]


def test_both_processes_add_up_and_a_dead_one_neither_takes_away_nor_stays(service: Service) -> None:
    assert not (service.files / "counter_1.db").exists(), "left over of a former run"
    for _ in range(20):
        service.call()
    called = service.calls
    for name in (SECONDS, CALLS):
        # A process counts a call just after it has answered it.
        wait_for(partial(lambda name: service.total(name) == called, name))
        assert {service.total(name) for _ in range(6)} == {called}, "whichever process tells"

    # A call that goes on, at one of the two; then that process dies with it.
    with socket.create_connection(("127.0.0.1", service.port)) as caller:
        head = f"POST /v1/transcribe HTTP/1.1\r\nHost: localhost:{service.port}\r\nContent-Length: 999\r\n"
        caller.sendall(f"{head}Content-Type: multipart/form-data; boundary=b\r\n\r\n".encode())
        wait_for(lambda: service.total(IN_FLIGHT, "/v1/transcribe") == 1)
        (at,) = in_flight_at(service)
        os.kill(at, signal.SIGKILL)
        wait_for(lambda: not psutil.pid_exists(at))
        wait_for(lambda: service.total(IN_FLIGHT, "/v1/transcribe") == 0)
        assert service.total(CALLS) == called, "what it had counted stays"
    wait_for(lambda: len(service.serving()) == 2)
    assert at in service.counting()
    service.call()
    wait_for(lambda: service.total(CALLS) == service.calls)
    assert {service.total(CALLS) for _ in range(6)} == {service.calls}


def test_requests_that_were_answered_leave_nothing_in_memory(service: Service) -> None:
    """BentoML's timers alone would keep 5 KiB of each for an hour."""
    requests = 2000

    def own_bytes() -> int:
        return sum(psutil.Process(pid).memory_full_info().uss for pid in service.serving())

    with httpx.Client(base_url=service.http, timeout=60) as http:

        def ask() -> None:
            for _ in range(requests):
                http.get("/livez")

        ask()
        before = own_bytes()
        ask()
    assert own_bytes() - before < requests * 1024
