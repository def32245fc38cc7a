"""The local Triton's environment."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.triton import environment
from services.triton.environment import TritonEnvironment, TritonEnvironmentError, find, prepare
from tests.waiting import PATIENCE_S


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Makes the environment's parts without installing anything; lists the commands."""
    commands: list[list[str]] = []

    def run(command: list[str]) -> None:
        commands.append(command)
        if command[1:3] == ["-m", "venv"]:
            packages = TritonEnvironment(Path(command[3])).packages
            (packages / "pytriton/tritonserver/bin").mkdir(parents=True)
            return
        triton = TritonEnvironment(Path(command[0]).parents[1]).packages / "pytriton/tritonserver"
        for file in (
            "bin/tritonserver",
            "backends/python/libtriton_python.so",
            "backends/python/triton_python_backend_utils.py",
            f"python_backend_stubs/{sys.version_info.major}.{sys.version_info.minor}/triton_python_backend_stub",
        ):
            (triton / file).parent.mkdir(parents=True, exist_ok=True)
            (triton / file).write_text("")

    monkeypatch.setattr(environment, "_run", run)
    return commands


def test_it_is_made_once(tmp_path: Path, quick: list[list[str]]) -> None:
    made = prepare(tmp_path / "env", lambda _: None)
    assert len(quick) == 2
    assert prepare(tmp_path / "env", lambda _: None) == made == find(tmp_path / "env")
    assert len(quick) == 2
    assert (made.backends / "python" / "triton_python_backend_stub").is_symlink()
    assert (made.backends / "onnxruntime" / "model.py").is_file()


def test_a_half_made_environment_is_made_again(
    tmp_path: Path, quick: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "env"
    (root / "lib").mkdir(parents=True)
    (root / "left over").write_text("")
    with pytest.raises(TritonEnvironmentError, match="make setup"):
        find(root)
    prepare(root, lambda _: None)
    assert not (root / "left over").exists()
    assert find(root).server.is_file()


def test_other_requirements_make_it_again(
    tmp_path: Path, quick: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path / "env", lambda _: None)
    other = tmp_path / "requirements.txt"
    other.write_text("onnxruntime==1.0 # comment\n")
    monkeypatch.setattr(environment, "REQUIREMENTS", (other,))
    with pytest.raises(TritonEnvironmentError, match="out of date"):
        find(tmp_path / "env")
    prepare(tmp_path / "env", lambda _: None)
    other.write_text("# another comment\nonnxruntime==1.0\n")
    assert find(tmp_path / "env")


def test_a_failing_installation_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "REQUIREMENTS", (tmp_path / "requirements.txt",))
    (tmp_path / "requirements.txt").write_text("./no-such-folder\n")
    with pytest.raises(TritonEnvironmentError, match=r"failed with status 1.*make setup"):
        prepare(tmp_path / "env", lambda _: None)
    with pytest.raises(TritonEnvironmentError, match="missing"):
        find(tmp_path / "env")


def test_two_at_once_make_it_once(tmp_path: Path, quick: list[list[str]]) -> None:
    root = tmp_path / "env"
    root.mkdir()
    context = multiprocessing.get_context("fork")
    said = context.SimpleQueue()
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD_LOCK, str(root)], stdout=subprocess.PIPE, stdin=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    holder.stdout.readline()
    other = context.Process(target=prepare, args=(root, said.put))
    other.start()
    assert "waiting for another process" in said.get()
    assert not any(root.iterdir())
    holder.communicate(b"\n")
    other.join(PATIENCE_S)
    assert other.exitcode == 0
    assert find(root)


_HOLD_LOCK = """
import fcntl, os, sys
fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.readline()
"""


def test_the_server_finds_its_own_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    variables = TritonEnvironment(tmp_path).variables()
    assert "PYTHONPATH" not in variables
    assert variables["PATH"].split(os.pathsep)[0] == str(tmp_path / "bin")
    assert str(tmp_path / "libpython") in variables["LD_LIBRARY_PATH"].split(os.pathsep)
