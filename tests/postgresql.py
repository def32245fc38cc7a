"""A real PostgreSQL server for tests, which may be killed and started again."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Self

import psutil
import psycopg

START_LIMIT_S = 30.0


def _program(name: str) -> str:
    """A program of PostgreSQL; Debian keeps them off the PATH."""
    found = shutil.which(name) or max(map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{name}")), default="")
    if not found:
        raise FileNotFoundError(f"PostgreSQL's {name} is not installed")
    return found


class PostgresServer:
    """A server with its own data, in a temporary folder and on a free port; started on entry.

    It survives the death of its processes, as what the kernel was given is kept, but not that of the machine:
    it does not wait for the disk.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="copyist-postgresql-"))
        # The server refuses to run as root.
        self._user = "postgres" if os.geteuid() == 0 else None
        if self._user is not None:
            owner = pwd.getpwnam(self._user)
            os.chown(self._folder, owner.pw_uid, owner.pw_gid)
        self._process: subprocess.Popen[bytes] | None = None
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]

    def __enter__(self) -> Self:
        """Make the data and start."""
        try:
            self._run(
                "initdb", "--pgdata", self._data, "--auth", "trust", "--username", "copyist", "--no-sync"
            )
            self.start()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop and remove the data."""
        try:
            self.kill()
        finally:
            self._remove()

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self._folder / "log"

    def url(self, database: str = "postgres") -> str:
        """The address of a database, as COPYIST_DATABASE_URL takes it."""
        return f"postgresql://copyist@127.0.0.1:{self.port}/{database}"

    def create(self, database: str) -> str:
        """Make an empty database; gives its address."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(database)))
        return self.url(database)

    def start(self) -> None:
        """Start, on the data as they are, and wait until it answers."""
        command = [_program("postgres"), "-D", self._data, "-p", str(self.port), "-k", self._folder]
        command += ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "max_connections=200"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self._folder, user=self._user, start_new_session=True
            )
        deadline = time.monotonic() + START_LIMIT_S
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise RuntimeError(self.log.read_text(errors="replace")[-2000:]) from None
                time.sleep(0.1)

    def kill(self) -> None:
        """End all of its processes with SIGKILL."""
        if self._process is None:
            return
        try:
            processes = psutil.Process(self._process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            processes = []
        # The head first: it would start again what it sees dying.
        self._process.kill()
        self._process.wait()
        for process in processes:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(processes, timeout=5)
        self._process = None

    def _run(self, program: str, *arguments: str | Path) -> None:
        done = subprocess.run(
            [_program(program), *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=self._folder,
            user=self._user,
        )
        if done.returncode:
            raise RuntimeError(done.stderr)

    def _remove(self) -> None:
        shutil.rmtree(self._folder)
