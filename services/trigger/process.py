"""Retrainings as processes of this machine."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path
from typing import IO, Final

from services.trigger.decisions import RetrainingRequest
from services.trigger.guarded import LOG, STATUS
from services.trigger.starters import RunPhase, RunState, StartError, options

_COPYIST: Final = (sys.executable, "-m", "services.client.cli")
_LOCK: Final = "lock"
_TAIL_BYTES: Final = 4096


class ProcessStarter:
    """Starts `copyist retrain` in a session of its own; it goes on when the trigger ends.

    All receivers must be on this machine and share the folder.

    Args:
        runs: folder of the runs' logs and exit statuses, one folder for each.
        budget: of each run.
        copyist: program and first arguments that run `copyist`.
    """

    def __init__(self, runs: Path, budget: str, copyist: tuple[str, ...] = _COPYIST) -> None:
        self._runs = runs.absolute()
        self._budget = budget
        self._copyist = copyist

    def start(self, request: RetrainingRequest) -> None:
        """Start it; as `Starter`."""
        folder = self._runs / request.id
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = _locked(folder)
            if lock is None:
                return
            with lock:
                if not (folder / STATUS).exists():
                    arguments = ["retrain", request.model, *options(request, self._budget)]
                    self._spawn(folder, lock.fileno(), arguments)
        except (OSError, subprocess.CalledProcessError) as error:
            raise StartError(f"No process could be started ({error}).") from error

    def _spawn(self, folder: Path, lock: int, arguments: list[str]) -> None:
        # Its own session, and no child of ours: nobody here has to wait for its end.
        guard = ["setsid", "--fork", sys.executable, "-m", "services.trigger.guarded", str(folder), str(lock)]
        subprocess.run(
            [*guard, *self._copyist, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[lock],
            check=True,
        )

    def look(self, request: RetrainingRequest) -> RunState:
        """Tell how far it is; as `Starter`."""
        folder = self._runs / request.id
        if not folder.is_dir():
            return RunState(RunPhase.ABSENT)
        lock = _locked(folder)
        if lock is None:
            return RunState(RunPhase.RUNNING)
        with lock:
            if not (folder / STATUS).exists():
                return RunState(RunPhase.ABSENT, _last_line(folder / LOG))
            ended_well = (folder / STATUS).read_text() == "0"
        return RunState(RunPhase.SUCCEEDED if ended_well else RunPhase.FAILED, _last_line(folder / LOG))


def _locked(folder: Path) -> IO[bytes] | None:
    """Take the lock of a run's folder, until the file is closed; None where it is held: the run goes on."""
    lock = (folder / _LOCK).open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def _last_line(log: Path) -> str:
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        lines = file.read().decode("utf-8", "replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
