"""What a running stack tells of itself: one small file, written by its supervisor, read by the others."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from services.local.processes import ProcessId

Phase = Literal["starting", "ready", "unready", "waiting"]


@dataclass(slots=True)
class ProgramState:
    """One program of the stack.

    Attributes:
        process: its process; None while it is not running.
        phase: `starting` until it is first ready, then `ready` or `unready`; `waiting` to be started again.
        since: when the phase began, in seconds since the epoch.
        starts: how often it has been started.
        last_exit: how its last process ended, such as `signal 9 (Killed)`; empty when none has.
        problem: why it is not ready, as far as it says.
        lasting: whether that will not pass by itself.
        log: the file that holds its output; its path is also the name of the family of its processes.
        addresses: what it serves, by the protocol's name.
    """

    log: str
    addresses: dict[str, str]
    process: ProcessId | None = None
    phase: Phase = "starting"
    since: float = 0.0
    starts: int = 0
    last_exit: str = ""
    problem: str = ""
    lasting: bool = False


@dataclass(slots=True)
class StackState:
    """The supervisor and the programs it keeps running."""

    supervisor: ProcessId
    programs: dict[str, ProgramState] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        """Whether every program is ready."""
        return all(program.phase == "ready" for program in self.programs.values())


def write_state(run_dir: Path, state: StackState) -> None:
    """Replace the state file in one step, so that no reader sees half of it."""
    path = run_dir / "state.json"
    aside = path.with_suffix(".new")
    aside.write_text(json.dumps(asdict(state), indent=2))
    aside.replace(path)


def read_state(run_dir: Path) -> StackState | None:
    """The last state that a supervisor wrote here, whether or not it still runs."""
    try:
        found = json.loads((run_dir / "state.json").read_text())
    except FileNotFoundError:
        return None
    programs = {
        name: ProgramState(**{**entry, "process": entry["process"] and ProcessId(**entry["process"])})
        for name, entry in found["programs"].items()
    }
    return StackState(ProcessId(**found["supervisor"]), programs)


def clear_state(run_dir: Path) -> None:
    """Remove the state file."""
    with suppress(FileNotFoundError):
        (run_dir / "state.json").unlink()


@contextmanager
def exclusive(run_dir: Path, name: str, *, wait: bool) -> Iterator[bool]:
    """Hold a lock of the folder; the kernel drops it when the process ends, however it ends.

    Yields whether the lock was had: always so with `wait`, else only when nobody held it.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    handle = os.open(run_dir / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)
