from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from services.local.processes import ProcessId, spawn, stop_group, wait_for_end
from tests.waiting import wait_for

#: Starts a child that outlives it unless told otherwise, and says both pids.
PARENT = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]])
print(os.getpid(), child.pid, flush=True)
time.sleep(600)
"""
SLEEP = "import time; time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait()


def family(tmp_path: Path, started: list[subprocess.Popen[bytes]], child: str) -> tuple[ProcessId, int]:
    log = tmp_path / "log"
    parent = spawn([sys.executable, "-c", PARENT, child], os.environ, log, tied=False)
    started.append(parent)
    wait_for(lambda: log.exists() and log.read_text().endswith("\n"))
    identity = ProcessId.of(parent.pid)
    assert identity is not None
    return identity, int(log.read_text().split()[1])


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("child", [SLEEP, STUBBORN], ids=["willing", "stubborn"])
def test_stopping_a_process_stops_its_children(
    tmp_path: Path, started: list[subprocess.Popen[bytes]], child: str
) -> None:
    leader, child_pid = family(tmp_path, started, child)
    assert leader.alive()
    stop_group(leader, grace_s=5)
    assert not leader.alive()
    assert gone(child_pid)


def test_a_pid_that_was_given_to_another_process_is_left_alone(
    tmp_path: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    leader, child_pid = family(tmp_path, started, SLEEP)
    former = ProcessId(leader.pid, leader.started - 1)
    assert not former.alive()
    assert former.replaced()
    stop_group(former, grace_s=0)
    assert leader.alive()
    assert not gone(child_pid)
    stop_group(leader, grace_s=5)


def test_a_process_that_nobody_collected_counts_as_ended(
    tmp_path: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    process = spawn([sys.executable, "-c", SLEEP], os.environ, tmp_path / "log", tied=False)
    started.append(process)
    identity = ProcessId.of(process.pid)
    assert identity is not None
    assert not wait_for_end(identity, 0.1)
    process.kill()
    assert wait_for_end(identity, 60)
    assert psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE


def test_nothing_has_an_identity_where_there_is_no_process() -> None:
    assert ProcessId.of(2**22 + 1) is None


def test_a_tied_process_stops_with_its_parent(tmp_path: Path) -> None:
    script = (
        "import os, sys, time; from pathlib import Path; from services.local.processes import spawn\n"
        f"p = spawn([sys.executable, '-c', {SLEEP!r}], os.environ, Path(sys.argv[1]), tied=True)\n"
        "print(p.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "log")], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    with parent:
        child = int(parent.stdout.readline())
        assert not gone(child)
        parent.kill()
    wait_for(lambda: gone(child))
