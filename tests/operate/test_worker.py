"""`copyist worker` as a process: what it says where it cannot work, and how it begins and ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from services.triton.environment import REPOSITORY_ROOT
from tests.databases import PostgresServer, free_port
from tests.waiting import wait_for


def variables(tmp_path: Path, **more: str) -> dict[str, str]:
    own = {
        "COPYIST_DATABASE_URL": f"sqlite:///{tmp_path}/data/copyist.sqlite",
        "COPYIST_FILES_URL": str(tmp_path / "data" / "files"),
        "COPYIST_AMT_WORKER_PORT": str(free_port()),
        "COPYIST_OMR_WORKER_PORT": str(free_port()),
        "COPYIST_TRITON_URL": f"127.0.0.1:{free_port()}",
        **more,
    }
    unset = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {**{name: value for name, value in os.environ.items() if name not in unset}, **own}


def command(service: str) -> list[str]:
    return [sys.executable, "-m", "services.client.cli", "worker", service]


def failed(service: str, environment: dict[str, str]) -> tuple[int, str]:
    ended = subprocess.run(
        command(service),
        cwd=REPOSITORY_ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    return ended.returncode, ended.stderr


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[tuple[psutil.Process, str]]:
    """A worker of pages without a model server; with the address of its health."""
    environment = variables(tmp_path)
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command("omr"), cwd=REPOSITORY_ROOT, env=environment, stderr=output)
    try:
        yield psutil.Process(process.pid), f"http://127.0.0.1:{environment['COPYIST_OMR_WORKER_PORT']}"
    finally:
        process.terminate()
        assert process.wait(120) == 0, log.read_text()


def answer(address: str) -> httpx.Response:
    """The first answer that there is."""
    answers: list[httpx.Response] = []

    def answered() -> bool:
        with suppress(httpx.TransportError):
            answers.append(httpx.get(address, timeout=30))
        return bool(answers)

    wait_for(answered)
    return answers[0]


def test_a_worker_makes_its_database_and_says_what_it_lacks(
    worker: tuple[psutil.Process, str], tmp_path: Path
) -> None:
    process, http = worker
    assert answer(f"{http}/livez").status_code == 200
    wait_for(lambda: "model server" in answer(f"{http}/readyz").text)
    assert answer(f"{http}/readyz").status_code == 503
    assert (tmp_path / "data" / "copyist.sqlite").exists()
    wait_for(lambda: bool(process.children()))  # a process that engraves
    # Until a new process has begun its program, it has its parent's variables.
    wait_for(lambda: all(map(_has_one_thread, process.children())))


def _has_one_thread(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        variables = process.environ()
        return variables.get("OMP_NUM_THREADS") == variables.get("OPENBLAS_NUM_THREADS") == "1"
    return False


def test_an_unknown_service_and_a_wrong_setting_are_told_in_a_line(tmp_path: Path) -> None:
    status, said = failed("studio", variables(tmp_path))
    assert (status, said.splitlines()[-1]) == (
        2,
        "Error: Invalid value for '{amt|omr}': 'studio' is not one of 'amt', 'omr'.",
    )
    status, said = failed("amt", variables(tmp_path, COPYIST_WORKER_JOBS="many"))
    assert (status, said) == (
        1,
        "Error: COPYIST_WORKER_JOBS must be a whole number above 0, not 'many'.\n",
    )
    status, said = failed("amt", variables(tmp_path, COPYIST_DATABASE_URL="mysql://here/jobs"))
    assert status == 1
    assert said.startswith("copyist: ")
    assert said.count("\n") == 1
    assert "COPYIST_DATABASE_URL" in said


def test_an_old_database_is_told_in_a_line_with_what_mends_it(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    environment = variables(tmp_path, COPYIST_DATABASE_URL=postgres_server.new_database())
    status, said = failed("amt", environment)
    assert status == 1
    assert "copyist: The database has schema none" in said
    assert said.endswith("Run `copyist migrate`.\n")
    migrate = [sys.executable, "-m", "services.client.cli", "migrate"]
    subprocess.run(migrate, cwd=REPOSITORY_ROOT, env=environment, check=True, timeout=180)
    process = subprocess.Popen(
        command("amt"), cwd=REPOSITORY_ROOT, env=environment, stderr=subprocess.DEVNULL
    )
    try:
        http = f"http://127.0.0.1:{environment['COPYIST_AMT_WORKER_PORT']}"
        assert answer(f"{http}/livez").status_code == 200
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0


def test_a_taken_port_is_told(tmp_path: Path) -> None:
    environment = variables(tmp_path)
    with socket.create_server(("127.0.0.1", int(environment["COPYIST_AMT_WORKER_PORT"]))):
        status, said = failed("amt", environment)
    assert status == 1
    assert said.startswith("Error: the worker cannot begin (COPYIST_AMT_WORKER_PORT): Address already in use")
    assert said.count("\n") == 1
