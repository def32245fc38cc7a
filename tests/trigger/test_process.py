"""Retrainings as processes: run once at a time, known of afterwards, and gone on with after a kill."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from services.trigger.process import ProcessStarter
from services.trigger.starters import RunPhase, RunState
from tests.trigger.drifted import STAND_IN, request
from tests.waiting import wait_for


@pytest.fixture
def starter(tmp_path: Path) -> Iterator[ProcessStarter]:
    (tmp_path / "stand_in.py").write_text(STAND_IN)
    yield ProcessStarter(tmp_path / "runs", "small", (sys.executable, str(tmp_path / "stand_in.py")))
    (tmp_path / "end").write_text("0")
    wait_for(lambda: not processes(tmp_path))


def processes(folder: Path) -> list[psutil.Process]:
    """The stand-ins and their guards that run."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if any(str(folder) in word for word in process.cmdline()) and process.status() != "zombie":
                found.append(process)
    return found


def begun(tmp_path: Path) -> list[str]:
    file = tmp_path / "begun"
    return file.read_text().splitlines() if file.exists() else []


def test_a_run_is_started_with_its_name_reason_and_budget(starter: ProcessStarter, tmp_path: Path) -> None:
    asked = request(reason="CopyistInputDrift: snr_db")
    assert starter.look(asked) == RunState(RunPhase.ABSENT)
    starter.start(asked)
    assert starter.look(asked) == RunState(RunPhase.RUNNING)
    wait_for(lambda: len(begun(tmp_path)) == 1)
    assert begun(tmp_path) == [
        f"retrain piano --run {asked.id} --reason CopyistInputDrift: snr_db --budget small"
    ]


def test_it_does_not_run_twice_whoever_starts_it(starter: ProcessStarter, tmp_path: Path) -> None:
    other = ProcessStarter(tmp_path / "runs", "small", (sys.executable, str(tmp_path / "stand_in.py")))
    for _ in range(3):
        starter.start(request())
        other.start(request())
    wait_for(lambda: len(begun(tmp_path)) == 1)
    (tmp_path / "end").write_text("0")
    wait_for(lambda: starter.look(request()).phase is not RunPhase.RUNNING)
    starter.start(request())
    assert other.look(request()) == RunState(RunPhase.SUCCEEDED, "promoted: piano 2")
    assert len(begun(tmp_path)) == 1
    starter.start(replace(request(), id="b" * 32))
    wait_for(lambda: len(begun(tmp_path)) == 2)


def test_how_it_ended_is_known_to_whoever_asks_later(starter: ProcessStarter, tmp_path: Path) -> None:
    (tmp_path / "end").write_text("3")
    starter.start(request())
    later = ProcessStarter(tmp_path / "runs", "small")
    wait_for(lambda: later.look(request()).phase is not RunPhase.RUNNING)
    assert later.look(request()) == RunState(RunPhase.FAILED, "promoted: piano 2")


@pytest.mark.parametrize("who", ["guard", "run", "both"])
def test_a_run_that_was_killed_goes_on_when_it_is_started_again(
    starter: ProcessStarter, tmp_path: Path, who: str
) -> None:
    starter.start(request())
    wait_for(lambda: len(begun(tmp_path)) == 1)
    guard, run = sorted(processes(tmp_path), key=lambda process: process.create_time())
    if who == "guard":
        guard.kill()
        guard.wait(10)
        assert starter.look(request()).phase is RunPhase.RUNNING, "the run itself lives"
        starter.start(request())
        wait_for(lambda: [process.pid for process in processes(tmp_path)] == [run.pid])
        assert len(begun(tmp_path)) == 1
        run.kill()
    else:
        run.kill()
        if who == "both":
            guard.kill()
    wait_for(lambda: starter.look(request()).phase is RunPhase.ABSENT)
    starter.start(request())
    wait_for(lambda: len(begun(tmp_path)) == 2)
    (tmp_path / "end").write_text("0")
    wait_for(lambda: starter.look(request()).phase is RunPhase.SUCCEEDED)


def test_a_run_that_cannot_be_made_now_is_started_again(starter: ProcessStarter, tmp_path: Path) -> None:
    (tmp_path / "end").write_text("75")
    starter.start(request())
    wait_for(lambda: starter.look(request()).phase is RunPhase.ABSENT)
    (tmp_path / "end").write_text("0")
    starter.start(request())
    wait_for(lambda: starter.look(request()).phase is RunPhase.SUCCEEDED)
    assert len(begun(tmp_path)) == 2
