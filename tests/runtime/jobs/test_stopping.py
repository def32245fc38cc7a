"""A service that is told to stop, while jobs are being followed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from services.triton.environment import REPOSITORY_ROOT
from tests.waiting import wait_for

#: BentoML kills a serving process that has not stopped by then.
KILLED_S = 30


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The real audio service, without a Triton."""
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        port, grpc_port = first.getsockname()[1], second.getsockname()[1]
    variables = {
        "COPYIST_DATABASE_URL": f"sqlite:///{tmp_path}/jobs.sqlite",
        "COPYIST_FILES_URL": str(tmp_path / "files"),
        "COPYIST_AMT_GRPC_PORT": str(grpc_port),
        "BENTOML_HOME": str(tmp_path / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "true",
        "TMPDIR": str(tmp_path),
    }
    command = [sys.executable, "-m", "bentoml", "serve", "services.amt.service:AudioService"]
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port)],
        cwd=REPOSITORY_ROOT,
        env={**os.environ, **variables},
        start_new_session=True,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: _alive(url, process))
        yield url, process
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
    service: tuple[str, subprocess.Popen[bytes]],
) -> None:
    url, process = service
    with httpx.Client(base_url=url, timeout=30) as http:
        job = http.post("/v1/jobs", files={"file": ("tone.wav", b"sound")}).json()
        with http.stream("GET", job["links"]["events"]) as answer:
            lines = answer.iter_lines()
            assert any(line.startswith("event: progress") for line in lines)
            os.kill(process.pid, signal.SIGTERM)
            started = time.monotonic()
            assert [line for line in lines if line.startswith("event:")] == []
        process.wait(KILLED_S)
        assert time.monotonic() - started < KILLED_S / 2
