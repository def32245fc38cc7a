"""A service that is told to stop, while jobs are being followed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
import pytest
from tritonclient.grpc.service_pb2 import ServerLiveRequest
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from services.triton.environment import REPOSITORY_ROOT
from tests.exposition import exposed, values
from tests.waiting import wait_for

IN_FLIGHT = "copyist_requests_in_flight"

#: Kubernetes kills a pod that has not stopped some time after.
KILLED_S = 30
#: Longer than anything is held up that is to come before its end.
DRAIN_S = 8


@dataclass
class Service:
    """The real audio service, without a Triton."""

    url: str
    grpc: str
    process: subprocess.Popen[bytes]

    def stop(self) -> float:
        """Tell it to stop; gives the moment before."""
        told = time.monotonic()
        os.kill(self.process.pid, signal.SIGTERM)
        return told


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        port, grpc_port = first.getsockname()[1], second.getsockname()[1]
    variables = {
        "COPYIST_DATABASE_URL": f"sqlite:///{tmp_path}/jobs.sqlite",
        "COPYIST_FILES_URL": str(tmp_path / "files"),
        "COPYIST_AMT_GRPC_PORT": str(grpc_port),
        "COPYIST_DRAIN_S": str(DRAIN_S),
        "BENTOML_HOME": str(tmp_path / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "true",
        "TMPDIR": str(tmp_path),
    }
    command = [sys.executable, "-m", "bentoml", "serve", "services.amt.service:AudioService"]
    process = subprocess.Popen(
        [*command, "--host=127.0.0.1", f"--port={port}"],
        cwd=REPOSITORY_ROOT,
        env={**os.environ, **variables},
        start_new_session=True,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: _alive(url, process))
        yield Service(url, f"127.0.0.1:{grpc_port}", process)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _alive(url: str, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None
    try:
        return httpx.get(f"{url}/livez").is_success
    except httpx.TransportError:
        return False


@pytest.mark.slow
def test_a_service_told_to_stop_ends_its_streams_and_does_not_wait_to_be_killed(
    service: Service,
) -> None:
    with httpx.Client(base_url=service.url, timeout=30) as http:
        job = http.post("/v1/jobs", files={"file": ("tone.wav", b"sound")}).json()
        with http.stream("GET", job["links"]["events"]) as answer:
            lines = answer.iter_lines()
            assert any(line.startswith("event: progress") for line in lines)
            told = service.stop()
            assert [line for line in lines if line.startswith("event:")] == []
        service.process.wait(KILLED_S)
        assert time.monotonic() - told < KILLED_S


@pytest.mark.slow
def test_what_is_under_way_for_too_long_is_answered_and_no_call_begins_meanwhile(service: Service) -> None:
    host, _, port = service.url.removeprefix("http://").partition(":")
    with (
        socket.create_connection((host, int(port)), timeout=KILLED_S) as caller,
        grpc.insecure_channel(service.grpc) as channel,
    ):
        calls = GRPCInferenceServiceStub(channel)
        assert calls.ServerLive(ServerLiveRequest(), timeout=10).live
        begin = f"--x\r\nContent-Disposition: form-data; name=file; filename=a.flac\r\n\r\n{'a' * 65536}"
        head = "POST /v1/transcribe HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        caller.sendall(f"{head}Content-Length: 1000000\r\n\r\n{begin}".encode())
        wait_for(lambda: sum(values(exposed(service.url), IN_FLIGHT, route="/v1/transcribe")) == 1)
        told = service.stop()
        wait_for(lambda: refuses(calls), limit_s=DRAIN_S - 2)
        answer = caller.recv(65536).decode()
        assert answer.startswith("HTTP/1.1 503 "), answer
        assert "\r\nretry-after: 1\r\n" in answer
        assert time.monotonic() - told >= DRAIN_S
    assert service.process.wait(KILLED_S) == 0
    assert time.monotonic() - told < KILLED_S


def refuses(calls: GRPCInferenceServiceStub) -> bool:
    try:
        calls.ServerLive(ServerLiveRequest(), timeout=10)
    except grpc.RpcError as error:
        return error.code() is grpc.StatusCode.UNAVAILABLE
    return False
