"""`copyist release watch` as a program: its options, health, metrics and end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from services.operate.release_watch import watch
from services.runtime.release import steps
from services.runtime.release.board import open_board
from services.runtime.release.manifest import ModelVersion
from services.triton.environment import REPOSITORY_ROOT
from tests.databases import free_port
from tests.operate.scripted_services import Watched, watched
from tests.waiting import wait_for

STABLE, CANARY = ModelVersion("1", 64 * "1"), ModelVersion("2", 64 * "2")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Watched]:
    """Services with a version on trial that answers garbage, and their Prometheus."""
    with watched(tmp_path) as running:
        running.seen("up", "== 1")
        for version in "12":
            running.services.release(version)
        running.seen("copyist_sync_ready", "== 1", version="2")
        yield running


@contextmanager
def program(world: Watched, port: int) -> Iterator[subprocess.Popen[str]]:
    """The watch as a process, which looks every second."""
    process = subprocess.Popen(
        [sys.executable, "-m", "services.client.cli", "release", "watch", "--interval-s", "1"],
        cwd=world.folder,
        env={
            **os.environ,
            "PYTHONPATH": str(REPOSITORY_ROOT),
            "COPYIST_PROMETHEUS_URL": world.url,
            "COPYIST_RELEASE_URL": str(world.folder / "release.json"),
            "COPYIST_RELEASE_WATCH_PORT": str(port),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def answers(port: int, path: str) -> int:
    """The status that the program answers with; 0 where it does not."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}{path}", timeout=60).status_code
    except httpx.TransportError:
        return 0


def test_it_watches_tells_how_it_is_and_ends_when_told(world: Watched) -> None:
    port, board = free_port(), open_board(str(world.folder / "release.json"))
    model = world.services.model
    with program(world, port) as running:
        wait_for(lambda: answers(port, "/readyz") == 200)
        steps.apply(
            board, lambda now: steps.start_canary(now, model, CANARY, 0.05, shipped=STABLE, by="a test")
        )
        metrics = partial(httpx.get, f"http://127.0.0.1:{port}/metrics", timeout=60)
        wait_for(lambda: 'state="waiting",version="2"} 1.0' in metrics().text)
        world.services.answer("1", 50)
        world.services.answer("2", 30, confidence=(1.0, 0.0, 0.0, 0.0))
        wait_for(lambda: board.read().models[model].canary is None)
        # Nothing is told any more of a canary that is none.
        wait_for(lambda: "copyist_canary_state{" not in metrics().text)
        told = metrics().text
        assert f'copyist_canary_breaches_total{{kind="content",model="{model}"}} 1.0' in told
        assert f'copyist_canary_steps_total{{model="{model}",step="roll-back"}} 1.0' in told
        world.stop()
        wait_for(lambda: answers(port, "/readyz") == 503)
        assert answers(port, "/livez") == 200
        world.start()
        wait_for(lambda: answers(port, "/readyz") == 200)
        running.terminate()
        said, _ = running.communicate(timeout=120)
    assert running.returncode == 0, said
    assert f"canary {model} 2 at 5 % is bad: roll-back" in said
    assert "Traceback" not in said


def test_a_taken_port_is_told_in_a_line(world: Watched) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, program(world, taken.getsockname()[1]) as running:
        said, _ = running.communicate(timeout=180)
    assert running.returncode == 1
    assert said.startswith(
        "Error: the watch cannot begin (COPYIST_RELEASE_WATCH_PORT): Address already in use"
    )
    assert said.count("\n") == 1


@pytest.mark.parametrize("shares", ["", "many", "0,5", "5,5", "25,5", "50,101", "nan"])
def test_shares_that_make_no_sense_are_refused(shares: str) -> None:
    done = CliRunner().invoke(watch, ["--steps", shares])
    assert done.exit_code == 2
    assert "rising shares above 0 and at most 100" in done.output
