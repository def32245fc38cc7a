"""The stack in the background: started, found, broken, stopped. Triton alone, with small models."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from services.local import stack
from services.local.errors import StackError
from services.local.options import StackOptions, private
from services.local.stack import LocalStack
from services.local.state import StackState
from services.triton.environment import REPOSITORY_ROOT
from tests.local.command_line import command
from tests.triton.models import repository
from tests.waiting import wait_for

pytestmark = pytest.mark.stack


@pytest.fixture
def options(tmp_path: Path) -> Iterator[StackOptions]:
    models = repository(tmp_path / "models")
    options = replace(private(tmp_path / "run"), model_repository=models, programs=("triton",))
    yield options
    stack.down(options, lambda _: None)


def processes(options: StackOptions) -> list[psutil.Process]:
    """Every live process that has to do with the stack."""
    marks = (f"--grpc-port={options.triton_grpc_port}", f"copyist_{options.triton_grpc_port}")
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line = " ".join(process.info["cmdline"] or ())
        if process.info["status"] != psutil.STATUS_ZOMBIE and any(mark in line for mark in marks):
            found.append(process)
    return found


def shared_memory(options: StackOptions) -> list[Path]:
    return list(Path("/dev/shm").glob(f"copyist_{options.triton_grpc_port}*"))


def running(options: StackOptions) -> StackState:
    found = stack.state(options)
    assert found is not None
    return found


def triton_pid(options: StackOptions) -> int:
    process = running(options).programs["triton"].process
    assert process is not None
    return process.pid


def test_up_status_down_as_the_command_line_has_them(options: StackOptions) -> None:
    started = command(options, "up", "triton")
    assert (started.returncode, started.stderr) == (0, "")
    assert "copyist: triton is ready" in started.stdout
    assert f"127.0.0.1:{options.triton_grpc_port}" in started.stdout

    again = command(options, "up", "triton")
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == "copyist: it runs already (triton: ready). `make down` stops it.\n"
    second = command(options, "run", "triton")
    assert second.returncode == 1
    assert "a stack runs already in" in second.stderr

    shown = command(options, "status")
    assert shown.returncode == 0
    assert shown.stdout.startswith("triton  ready\n")

    wait_for(lambda: len(processes(options)) == 4)  # the server and three instances
    kept = Path(options.files_url) / "jobs" / "a-file"
    kept.parent.mkdir(parents=True)
    kept.touch()
    stopped = command(options, "down")
    assert (stopped.returncode, stopped.stderr) == (0, "")
    assert not processes(options)
    assert not shared_memory(options)
    assert stopped.stdout.endswith("copyist: stopped\n")
    assert kept.exists(), "the data of jobs stay"

    shown = command(options, "status")
    assert (shown.returncode, shown.stdout) == (1, "copyist: nothing is running\n")
    assert command(options, "down").stdout == "copyist: nothing is running\n"


def test_a_taken_port_is_one_line(options: StackOptions) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", options.triton_grpc_port))
        other.listen()
        failed = command(options, "up", "triton")
    assert failed.returncode == 1
    assert failed.stderr.startswith(f"copyist: port {options.triton_grpc_port}, for Triton's gRPC, cannot")
    assert failed.stderr.count("\n") == 1
    assert not processes(options)


def test_a_missing_environment_is_one_line(options: StackOptions, tmp_path: Path) -> None:
    failed = command(replace(options, triton_environment=tmp_path / "none"), "up", "triton")
    assert failed.returncode == 1
    assert failed.stderr.startswith("copyist: Triton's environment")
    assert failed.stderr.endswith("Run `make setup`.\n")
    assert failed.stderr.count("\n") == 1


def test_a_wrong_setting_is_one_line(options: StackOptions) -> None:
    failed = subprocess.run(
        [sys.executable, "-m", "services.local", "up"],
        cwd=REPOSITORY_ROOT,
        env={**os.environ, "COPYIST_AMT_HTTP_PORT": "nought"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert failed.returncode == 1
    assert failed.stderr.startswith("copyist: COPYIST_AMT_HTTP_PORT must be a whole number")
    assert failed.stderr.count("\n") == 1


def test_a_killed_triton_is_started_again_and_status_says_so(options: StackOptions) -> None:
    stack.up(options, lambda _: None)
    killed = triton_pid(options)
    left = Path(psutil.Process(killed).environ()["TMPDIR"]) / "left"
    left.write_bytes(b"")
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: running(options).programs["triton"].starts == 2)
    assert not psutil.pid_exists(killed)
    assert not left.exists()
    wait_for(lambda: running(options).ready)
    shown = command(options, "status")
    assert shown.returncode == 0
    assert "triton  ready, restarted 1 times (last: signal 9 (Killed))" in shown.stdout
    wait_for(lambda: len(processes(options)) == 4)
    wait_for(lambda: len(shared_memory(options)) == 3)
    stack.down(options, lambda _: None)
    assert not list(options.run_dir.rglob("tmp/*"))


def test_a_killed_supervisor_takes_the_rest_with_it_and_up_works_again(options: StackOptions) -> None:
    stack.up(options, lambda _: None)
    os.kill(running(options).supervisor.pid, signal.SIGKILL)
    wait_for(lambda: not processes(options))
    assert stack.state(options) is None
    stack.up(options, lambda _: None)
    assert running(options).ready
    stack.down(options, lambda _: None)
    assert not processes(options)
    assert not shared_memory(options)


def test_down_ends_what_a_killed_supervisor_left(options: StackOptions) -> None:
    stack.up(options, lambda _: None)
    triton = psutil.Process(triton_pid(options))
    triton.suspend()  # so that it cannot heed the signal that its supervisor's end sends
    os.kill(running(options).supervisor.pid, signal.SIGKILL)
    wait_for(lambda: stack.state(options) is None)
    assert processes(options)
    said: list[str] = []
    stack.down(options, said.append)
    assert said == ["copyist: stopped"]
    assert not processes(options)
    assert not shared_memory(options)


def test_a_program_that_keeps_stopping_fails_up_with_its_last_words(
    options: StackOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of two servers on one port the second one stops; the check of the ports is what else would find it.
    monkeypatch.setattr(stack, "check_ports", lambda _: None)
    with socket.socket() as other:
        other.bind(("127.0.0.1", options.triton_http_port))
        other.listen()
        with pytest.raises(StackError, match=r"triton stopped with status 1: .*log: .*triton\.log"):
            stack.up(options, lambda _: None)
    assert stack.state(options) is None
    assert not processes(options)


def test_a_missing_model_repository_is_told(options: StackOptions, tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"there is no model repository .*no such folder"):
        stack.up(replace(options, model_repository=tmp_path / "no such folder"), lambda _: None)
    assert not processes(options)


def test_a_model_that_cannot_be_loaded_is_named(options: StackOptions) -> None:
    stack.up(options, lambda _: None)
    stack.down(options, lambda _: None)
    (options.model_repository / "lookup" / "1" / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(StackError, match=r"model lookup version 1: .*INVALID_PROTOBUF"):
        stack.up(options, lambda _: None)
    assert not processes(options)


def test_a_stack_for_a_block_leaves_nothing(options: StackOptions) -> None:
    said: list[str] = []
    with LocalStack(options, report=said.append) as block:
        assert block.triton_url == f"127.0.0.1:{options.triton_grpc_port}"
        assert processes(options)
    assert not processes(options)
    assert said == [
        "copyist: starting triton",
        "copyist: triton is ready",
        "copyist: stopping",
        "copyist: stopped",
    ]


def test_a_stack_for_a_block_ends_with_its_process_however_that_ends(options: StackOptions) -> None:
    script = (
        "import sys, time; from dataclasses import replace\n"
        "from services.local.options import StackOptions; from services.local.stack import LocalStack\n"
        "with LocalStack(replace(StackOptions.from_environment(), programs=('triton',))):\n"
        "    print('up', flush=True); time.sleep(600)"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=REPOSITORY_ROOT,
        env={**os.environ, **options.variables},
        stdout=subprocess.PIPE,
    )
    assert owner.stdout is not None
    with owner:
        assert owner.stdout.readline() == b"up\n"
        assert processes(options)
        owner.kill()
    wait_for(lambda: not processes(options))
    wait_for(lambda: not shared_memory(options))
