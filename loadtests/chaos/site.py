"""The place of a chaos test: the real stack with more workers than usual, all of which may be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Self

import httpx
import psutil

from services.local.errors import StackError
from services.local.options import PROGRAMS, StackOptions, private
from services.local.processes import ProcessId
from services.local.stack import LocalStack, Report
from services.runtime.database import Database, connect
from services.runtime.migrations import migrate
from services.triton.environment import REPOSITORY_ROOT
from tests.databases import PostgresServer, S3Server, free_port, postgres, s3

DATABASES: Final = ("sqlite", "postgresql")
SERVICES: Final = ("amt", "omr")
#: After which an added worker that was killed is started again: long after others have taken over from it.
AWAY_S: Final = 40.0
_READY_S: Final = 90.0
#: A worker told to stop hands back what it does.
_STOP_S: Final = 30.0


@dataclass
class AddedWorker:
    """A worker beside the stack's own.

    Attributes:
        service: whose jobs it does.
        id: as it stands in its jobs: the service, and COPYIST_WORKER_ID.
        port: of its health.
        command, variables, log: how it is started.
        process: its process, as long as it was not killed.
        killed_at: when it was, on the clock of `time.monotonic`.
    """

    service: str
    id: str
    port: int
    command: list[str]
    variables: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    killed_at: float = 0.0

    def start(self) -> None:
        """Start it, or start it again."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env=self.variables, stdout=log, stderr=log, start_new_session=True
            )

    def kill(self) -> None:
        """End it as the kernel does when memory is short."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
            self.killed_at = time.monotonic()

    def stop(self) -> None:
        """Ask it to stop."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()


@dataclass
class Site:
    """A running stack on SQLite and a folder, or on PostgreSQL and an object storage.

    Attributes:
        database_kind: one of DATABASES.
        folder: for everything that the stack writes; workers' temporary files go into `tmp` below it.
        added: how many workers are added for each service.
        report: is told, line by line, what happens.
    """

    database_kind: str
    folder: Path
    added: int
    report: Report
    workers: list[AddedWorker] = field(default_factory=list)
    postgres: PostgresServer | None = None
    objects: S3Server | None = None
    _open: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        """Start everything."""
        try:
            self._start()
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop everything."""
        self._open.close()

    def _start(self) -> None:
        (self.folder / "tmp").mkdir(parents=True)
        options = replace(private(self.folder / "run"), programs=PROGRAMS)
        variables = {"COPYIST_LOG_FORMAT": "json", "TMPDIR": str(self.folder / "tmp")}
        if self.database_kind == "postgresql":
            self.postgres = self._open.enter_context(postgres())
            self.objects = self._open.enter_context(s3())
            variables |= self.objects.variables
            options = replace(
                options, database_url=self.postgres.new_database(), files_url=self.objects.new_bucket()
            )
        self._open.enter_context(environment(variables))
        self.database: Database = connect(options.database_url)
        self._open.callback(self.database.close)
        migrate(self.database)
        self.stack = self._open.enter_context(LocalStack(options, report=self.report))
        for service in SERVICES:
            for number in range(self.added):
                worker = self._worker(options, service, number)
                worker.start()
                self._open.callback(worker.stop)
                self.workers.append(worker)

    def _worker(self, options: StackOptions, service: str, number: int) -> AddedWorker:
        name, port = f"{service}-worker-{number + 2}", free_port()
        return AddedWorker(
            service=service,
            id=f"{service}:{name}",
            port=port,
            command=[sys.executable, "-m", "services.client.cli", "worker", service],
            variables={
                **os.environ,
                **options.variables,
                "PYTHONPATH": str(REPOSITORY_ROOT),
                "COPYIST_WORKER_ID": name,
                f"COPYIST_{service.upper()}_WORKER_PORT": str(port),
            },
            log=self.folder / f"{name}.log",
        )

    def http_url(self, service: str) -> str:
        """A service's address."""
        return self.stack.http_url if service == "amt" else self.stack.omr_http_url

    def kill_worker(self, worker_id: str, still: Callable[[], bool]) -> bool:
        """Kill a worker by the id that stands in its jobs, if something is still so once it stands still.

        Args:
            worker_id: as `SERVICE:NAME`.
            still: asked while the worker is paused, so that nothing can change between answer and kill.

        Returns:
            False when it does not run just now, or goes on.
        """
        added = next((worker for worker in self.workers if worker.id == worker_id), None)
        program = f"{worker_id.partition(':')[0]}-worker"
        process = self._running(program) if added is None else added.process
        if process is None:
            return False
        try:
            os.kill(process.pid, signal.SIGSTOP)
            if not still():
                os.kill(process.pid, signal.SIGCONT)
                return False
        except ProcessLookupError:
            return False
        if added is None:
            return self.kill_program(program)
        added.kill()
        return True

    def kill_program(self, name: str) -> bool:
        """Kill a program of the stack with all its processes; False when it does not run just now."""
        process = self._running(name)
        if process is None:
            return False
        # A service's processes and Triton's instances die together, as when a container is ended.
        family = [psutil.Process(process.pid)]
        family += family[0].children(recursive=True)
        for each in family:
            try:
                os.kill(each.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        return True

    def _running(self, name: str) -> ProcessId | None:
        state = self.stack.state()
        process = state.programs[name].process if state is not None else None
        return process if process is not None and process.alive() else None

    def kill_database(self, away_s: float) -> None:
        """Kill all processes of PostgreSQL, and start it again a while later."""
        if self.postgres is None:
            raise ValueError("SQLite has no server to kill.")
        self.postgres.kill()
        time.sleep(away_s)
        self.postgres.start()

    def bring_back(self) -> None:
        """Start those added workers again that were away for long enough."""
        for worker in self.workers:
            if worker.process is None and time.monotonic() - worker.killed_at > AWAY_S:
                worker.start()

    def bring_all_back(self) -> None:
        """Start all added workers that are away, wait until they are ready; they clear up as they begin."""
        deadline = time.monotonic() + _READY_S
        for worker in self.workers:
            if worker.process is None:
                worker.start()
        for worker in self.workers:
            while not _is_ready(worker.port):
                if time.monotonic() > deadline:
                    raise StackError(f"{worker.id} is not ready {_READY_S:.0f} s after it was started again.")
                time.sleep(0.2)

    def logs(self) -> list[Path]:
        """The logs of all workers."""
        own = [self.stack.options.run_dir / f"{service}-worker.log" for service in SERVICES]
        return [*own, *(worker.log for worker in self.workers)]


def _is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5, trust_env=False).is_success
    except httpx.TransportError:
        return False


@contextmanager
def environment(variables: dict[str, str]) -> Iterator[None]:
    """Set environment variables, and put them back."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
