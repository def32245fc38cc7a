"""Starting, stopping and describing a stack that runs in the background."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from services.local.errors import StackError
from services.local.options import StackOptions, check_ports, private
from services.local.processes import ProcessId, kill_family, spawn, stop_group, wait_for_end
from services.local.programs import programs, remove_shared_memory
from services.local.state import StackState, clear_state, exclusive, read_state
from services.local.supervisor import Supervisor
from services.triton.environment import REPOSITORY_ROOT

#: A stack that is not ready by then is given up, in seconds.
START_LIMIT_S: Final = 180.0
#: A program that stopped so often before it was ever ready is given up.
STARTS_LIMIT: Final = 3
STOP_LIMIT_S: Final = 80.0

Report = Callable[[str], None]

#: Supervisors that this very process started, by their folder: it must collect them when they stop.
_children: dict[Path, subprocess.Popen[bytes]] = {}


def supervise(options: StackOptions, owner_pid: int | None = None) -> None:
    """Run the stack in this process until it is told to stop, or until its owner, if it has one, ends.

    Raises:
        StackError: one runs already in the same folder.
        TritonEnvironmentError: Triton's environment has not been prepared.
        CopyistError: there is a model without any version that could serve.
    """
    with exclusive(options.run_dir, "supervisor.lock", wait=False) as alone:
        if not alone:
            raise StackError(f"a stack runs already in {options.run_dir}.", remedy="`make status` shows it.")
        owner = None
        if owner_pid is not None and (owner := ProcessId.of(owner_pid)) is None:
            return  # it ended before this began
        started = programs(options)
        if "triton" in options.programs:
            # Brings gRPC's messages along, which whoever only waits for the stack needs not load.
            from services.local.models import fill_models  # noqa: PLC0415

            fill_models(options)
        Supervisor(options.run_dir, started, owner).run()


def up(options: StackOptions, report: Report = print, *, owned: bool = False) -> StackState:
    """Start the stack in the background and wait until all of it is ready.

    Args:
        options: where it runs.
        report: is told, line by line, what happens.
        owned: whether the stack is to stop when this process ends, however that ends.

    Raises:
        StackError: it runs already, a port is taken, or a program does not start; nothing is left running.
        TritonEnvironmentError: Triton's environment has not been prepared.
    """
    with exclusive(options.run_dir, "lock", wait=True):
        if (found := state(options)) is not None:
            raise StackError(f"it runs already ({_summary(found)}).", remedy="`make down` stops it.")
        _collect(options)
        _stop_leftovers(options)
        programs(options)  # fails here, in the foreground, if something is missing
        check_ports(options)
        for log in options.run_dir.glob("*.log"):
            log.unlink()
        report(f"copyist: starting {', '.join(options.programs)}")
        command = [sys.executable, "-m", "services.local", "run", *options.programs]
        command += ["--owner", str(os.getpid())] if owned else []
        variables = {**os.environ, **options.variables, "PYTHONPATH": str(REPOSITORY_ROOT)}
        log = options.run_dir / "supervisor.log"
        started = spawn(command, variables, log, tied=False)
        supervisor = ProcessId.of(started.pid)
        _children[options.run_dir] = started
        try:
            return _wait_until_ready(options, lambda: started.poll() is None, report)
        except BaseException:
            if supervisor is not None:
                stop_group(supervisor, grace_s=STOP_LIMIT_S)
            _collect(options)
            _stop_leftovers(options)
            raise


def down(options: StackOptions, report: Report = print) -> None:
    """Stop the stack and all its processes; without one, say so."""
    with exclusive(options.run_dir, "lock", wait=True):
        found = state(options)
        if found is not None:
            report("copyist: stopping")
            with suppress(ProcessLookupError):
                os.kill(found.supervisor.pid, signal.SIGTERM)
            if not wait_for_end(found.supervisor, STOP_LIMIT_S):
                stop_group(found.supervisor, grace_s=0.0)
        _collect(options)
        leftovers = _stop_leftovers(options)
        report("copyist: stopped" if found is not None or leftovers else "copyist: nothing is running")


def state(options: StackOptions) -> StackState | None:
    """What runs now; None when no supervisor does."""
    found = read_state(options.run_dir)
    return found if found is not None and found.supervisor.alive() else None


def describe(found: StackState | None) -> list[str]:
    """Lines for a person: what runs, where, and what is wrong with it."""
    if found is None:
        return ["copyist: nothing is running"]
    lines = []
    width = max(map(len, found.programs)) + 2
    for name, program in found.programs.items():
        about = ["down" if program.phase == "waiting" else str(program.phase)]
        if program.problem:
            about.append(program.problem)
        if program.starts > 1:
            about.append(f"restarted {program.starts - 1} times (last: {program.last_exit})")
        lines.append(f"{name:<{width}}{', '.join(about)}")
        lines += [f"{'':<{width}}{kind:<8} {address}" for kind, address in program.addresses.items()]
        lines.append(f"{'':<{width}}{'log':<8} {program.log}")
    return lines


class LocalStack:
    """A stack for the length of a `with` block; by default a private one, beside any that runs.

    Args:
        options: where it runs; by default a temporary folder and free ports.
        report: is told, line by line, what happens.

    Raises (on entry):
        CopyistError: it cannot be started.
    """

    def __init__(
        self,
        options: StackOptions | None = None,
        *,
        report: Report = lambda _: None,
    ) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        if options is None:
            self._folder = tempfile.TemporaryDirectory(prefix="copyist-")
            options = private(Path(self._folder.name))
        self.options = options
        self._report = report

    def __enter__(self) -> Self:
        """Start it and wait until it is ready."""
        try:
            up(self.options, self._report, owned=True)
        except BaseException:
            self._forget()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop all of it."""
        try:
            down(self.options, self._report)
        finally:
            self._forget()

    @property
    def http_url(self) -> str:
        """The audio service's HTTP address, `http://host:port`."""
        return f"http://{self.options.host}:{self.options.amt_http_port}"

    @property
    def grpc_url(self) -> str:
        """The audio service's gRPC address, `host:port`."""
        return f"{self.options.host}:{self.options.amt_grpc_port}"

    @property
    def omr_http_url(self) -> str:
        """The page service's HTTP address, `http://host:port`."""
        return f"http://{self.options.host}:{self.options.omr_http_port}"

    @property
    def omr_grpc_url(self) -> str:
        """The page service's gRPC address, `host:port`."""
        return f"{self.options.host}:{self.options.omr_grpc_port}"

    @property
    def triton_url(self) -> str:
        """Triton's gRPC address, `host:port`."""
        return f"{self.options.host}:{self.options.triton_grpc_port}"

    def state(self) -> StackState | None:
        """What runs now."""
        return state(self.options)

    def _forget(self) -> None:
        if self._folder is not None:
            self._folder.cleanup()


def _wait_until_ready(options: StackOptions, running: Callable[[], bool], report: Report) -> StackState:
    deadline = time.monotonic() + START_LIMIT_S
    told: set[str] = set()
    while time.monotonic() < deadline:
        alive = running()
        if (found := state(options)) is not None:
            for name, program in found.programs.items():
                if program.phase == "ready" and name not in told:
                    told.add(name)
                    report(f"copyist: {name} is ready")
                elif program.lasting:
                    raise StackError(f"{name}: {program.problem} (log: {program.log})")
                elif program.starts >= STARTS_LIMIT and program.phase != "ready" and name not in told:
                    raise StackError(
                        f"{name} stopped with {program.last_exit}: {_last_line(Path(program.log))}"
                    )
            if found.ready:
                return found
        if not alive:
            raise StackError(f"the supervisor stopped: {_last_line(options.run_dir / 'supervisor.log')}.")
        time.sleep(0.1)
    found = state(options)
    raise StackError(f"not ready after {START_LIMIT_S:.0f} s ({_summary(found) if found else 'no state'}).")


def _stop_leftovers(options: StackOptions) -> bool:
    """End what a supervisor that was killed left behind; whether there was anything."""
    found = read_state(options.run_dir)
    if found is None or found.supervisor.alive():
        return False
    for program in found.programs.values():
        if program.process is not None:
            stop_group(program.process, grace_s=2.0)
        kill_family(program.log)
    if "triton" in found.programs:
        remove_shared_memory(options)
    clear_state(options.run_dir)
    return True


def _collect(options: StackOptions) -> None:
    """Let the kernel forget a stopped supervisor, where it was this process's child."""
    if (child := _children.pop(options.run_dir, None)) is not None:
        child.wait()


def _summary(found: StackState) -> str:
    return ", ".join(
        f"{name}: {program.problem or program.phase}" for name, program in found.programs.items()
    )


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    last = next((line for line in reversed(lines) if line), "no output")
    return f"{last} (log: {log})"
