"""Keeps the stack's programs running: starts them, watches them, starts again what stopped."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

from services.local.processes import ProcessId, kill_family, kill_group, spawn, stop_groups
from services.local.program import Health, Program
from services.local.state import Phase, ProgramState, StackState, clear_state, write_state

#: Pause before a stopped program is started again, doubled each time it stops soon after, in seconds.
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0
#: A program that was ready for so long has recovered: its next pause is the first again.
RECOVERED_AFTER_S: Final = 30.0

_TICK_S: Final = 0.1
_PROBE_EVERY_S: Final = {"starting": 0.2, "unready": 0.5, "ready": 2.0}


@dataclass(slots=True)
class _Watch:
    """One program and what is known of it."""

    program: Program
    state: ProgramState
    process: subprocess.Popen[bytes] | None = None
    pause_s: float = FIRST_PAUSE_S
    due: float = field(default=0.0)  # when to probe it next, or to start it again


class Supervisor:
    """Runs the programs until it is told to stop (SIGTERM or SIGINT), or until its owner has ended.

    Args:
        run_dir: folder of the logs and the state.
        programs: in the order in which they start.
        owner: the process for which it runs; None when it is to outlive the one that started it.
    """

    def __init__(self, run_dir: Path, programs: Sequence[Program], owner: ProcessId | None) -> None:
        self._run_dir = run_dir
        self._owner = owner
        self._stopping = False
        self._watches = [
            _Watch(p, ProgramState(log=str(run_dir / f"{p.name}.log"), addresses=p.addresses))
            for p in programs
        ]
        own = ProcessId.of(os.getpid())
        assert own is not None, "a process that runs has a start time"  # noqa: S101
        self._state = StackState(own, {w.program.name: w.state for w in self._watches})

    def run(self) -> None:
        """Start everything, keep it running, and stop it all at the end."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: setattr(self, "_stopping", True))
        try:
            with httpx.Client(timeout=1.0, trust_env=False) as client:
                for watch in self._watches:
                    self._start(watch)
                while not self._stopping and (self._owner is None or self._owner.alive()):
                    for watch in self._watches:
                        self._tend(watch, client)
                    time.sleep(_TICK_S)
        finally:
            self._stop()

    def _start(self, watch: _Watch) -> None:
        program = watch.program
        log = watch.state.log
        temporary = self._temporary(watch)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        variables = {**program.variables, "TMPDIR": str(temporary)}
        watch.process = spawn(program.command, variables, Path(log), tied=True, family=log)
        watch.state.process = ProcessId.of(watch.process.pid)
        watch.state.starts += 1
        watch.due = 0.0
        self._enter(watch, "starting", Health())

    def _tend(self, watch: _Watch, client: httpx.Client) -> None:
        now = time.monotonic()
        if watch.process is None:
            if now >= watch.due:
                self._start(watch)
        elif (status := watch.process.poll()) is not None:
            self._ended(watch, status)
        elif now >= watch.due:
            self._probe(watch, client)
            watch.due = time.monotonic() + _PROBE_EVERY_S[watch.state.phase]

    def _ended(self, watch: _Watch, status: int) -> None:
        """Clear up after a process that stopped by itself, and set the time of its next start."""
        if watch.state.phase == "ready" and time.time() - watch.state.since > RECOVERED_AFTER_S:
            watch.pause_s = FIRST_PAUSE_S
        self._clear(watch)
        watch.state.last_exit = _describe(status)
        watch.due = time.monotonic() + watch.pause_s
        self._enter(watch, "waiting", Health(f"stopped with {_describe(status)}, starts again"))
        watch.pause_s = min(2 * watch.pause_s, LONGEST_PAUSE_S)

    def _probe(self, watch: _Watch, client: httpx.Client) -> None:
        try:
            health = watch.program.health(client)
        except httpx.TransportError:
            health = Health("does not answer yet" if watch.state.phase == "starting" else "does not answer")
        except Exception as error:  # whatever a program may answer, the others must be kept running
            health = Health(f"does not answer as expected: {error!r}")
        if not health.problem:
            self._enter(watch, "ready", health)
        else:
            self._enter(watch, "starting" if watch.state.phase == "starting" else "unready", health)

    def _enter(self, watch: _Watch, phase: Phase, health: Health) -> None:
        state = watch.state
        if phase != state.phase or not state.since:
            state.since = time.time()
        state.phase, state.problem, state.lasting = phase, health.problem, health.lasting
        write_state(self._run_dir, self._state)

    def _clear(self, watch: _Watch) -> None:
        if watch.state.process is not None:
            kill_group(watch.state.process)
        kill_family(watch.state.log)
        watch.process = watch.state.process = None
        watch.program.cleanup()
        shutil.rmtree(self._temporary(watch), ignore_errors=True)

    def _temporary(self, watch: _Watch) -> Path:
        """The folder of a program's temporary files, as one that was killed removes none of its own."""
        return self._run_dir / "tmp" / watch.program.name

    def _stop(self) -> None:
        # What others need stays until they have finished what they do.
        for last in (False, True):
            watches = [w for w in self._watches if w.program.needed_by_others is last]
            stop_groups({w.state.process: w.program.grace_s for w in watches if w.state.process is not None})
            for watch in watches:
                if watch.process is not None:
                    watch.process.wait()
                self._clear(watch)
        clear_state(self._run_dir)


def _describe(status: int) -> str:
    if status < 0:
        return f"signal {-status} ({signal.strsignal(-status)})"
    return f"status {status}"
