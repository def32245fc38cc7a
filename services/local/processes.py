"""Processes that are started in the background, found again, and stopped with all their children."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from services.runtime.parent import end_with_parent

#: How long the kernel may take to end killed processes, in seconds.
_KILL_LIMIT_S: Final = 5.0
#: The environment variable that tells which family a process is of.
_FAMILY: Final = "COPYIST_FAMILY"


@dataclass(frozen=True, slots=True)
class ProcessId:
    """Names one process for good: a pid may be given to another process, but not with the same start.

    Attributes:
        pid: the process, which is also the leader of its process group.
        started: when it started, in clock ticks since the machine did.
    """

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """The process that has this pid now, if any."""
        return None if (stat := _stat(pid)) is None else cls(pid, stat.started)

    def alive(self) -> bool:
        """Whether this very process still runs (one that only waits to be reaped does not)."""
        return (stat := _stat(self.pid)) is not None and stat.lives and stat.started == self.started

    def replaced(self) -> bool:
        """Whether the pid now belongs to another process, and with it the process group."""
        return (stat := _stat(self.pid)) is not None and stat.started != self.started


class _Stat(NamedTuple):
    """Of proc(5)'s stat file: whether the process lives, its group, and when it started."""

    lives: bool
    group: int
    started: int


def _stat(pid: int) -> _Stat | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The command's name, in brackets, may itself hold blanks and brackets.
    state, _, group, *rest = stat.rpartition(")")[2].split()
    return _Stat(state != "Z", int(group), int(rest[16]))


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _group_lives(group: int) -> bool:
    stats = map(_stat, _pids())
    return any(stat is not None and stat.lives and stat.group == group for stat in stats)


def spawn(
    command: Sequence[str], variables: Mapping[str, str], log: Path, *, tied: bool, family: str = ""
) -> subprocess.Popen[bytes]:
    """Start a program as the leader of a session of its own, its output added to a log.

    Args:
        command: program and arguments.
        variables: its whole environment.
        log: the file that both output streams are appended to.
        tied: whether it is to be told to stop when the calling thread ends, however that ends.
        family: a name that it and all it starts can be found by; no two programs have the same.
    """
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            env={**variables, _FAMILY: family},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=partial(end_with_parent, signal.SIGTERM) if tied else None,  # noqa: PLW1509 - it takes no lock
        )


def stop_group(leader: ProcessId, *, grace_s: float) -> None:
    """Stop a process and its group: ask the leader, give it time, then end whatever is left."""
    stop_groups({leader: grace_s})


def stop_groups(grace_s: Mapping[ProcessId, float]) -> None:
    """Stop several processes and their groups at once, each with the time that it is given."""
    asked_at = time.monotonic()
    for leader in grace_s:
        if leader.alive():
            with suppress(ProcessLookupError):
                os.kill(leader.pid, signal.SIGTERM)
    for leader, seconds in grace_s.items():
        wait_for_end(leader, asked_at + seconds - time.monotonic())
        kill_group(leader)


def kill_group(leader: ProcessId) -> None:
    """End what is left of a process's group at once, unless the number now names another's group."""
    if leader.replaced():
        return
    with suppress(ProcessLookupError):
        os.killpg(leader.pid, signal.SIGKILL)
    deadline = time.monotonic() + _KILL_LIMIT_S
    while _group_lives(leader.pid) and time.monotonic() < deadline:
        time.sleep(0.02)


def kill_family(family: str) -> None:
    """End at once all processes of a family, those too that have left their leader's group and session.

    BentoML's serving processes do that, and stay when its main process is killed.
    """
    deadline = time.monotonic() + _KILL_LIMIT_S
    while (found := _marked(f"{_FAMILY}={family}".encode())) and time.monotonic() < deadline:
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def _marked(mark: bytes) -> list[int]:
    return [pid for pid in _pids() if (stat := _stat(pid)) is not None and stat.lives and _has(pid, mark)]


def _has(pid: int, mark: bytes) -> bool:
    try:
        return mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # it has ended, or is another user's
        return False


def wait_for_end(process: ProcessId, limit_s: float) -> bool:
    """Wait until a process has ended; False when it has not within the limit."""
    deadline = time.monotonic() + limit_s
    while process.alive():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
