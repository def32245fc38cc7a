"""Toy workers as processes on a database and a storage, and jobs for them."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil

from services.runtime.database import connect
from services.runtime.files import FileStore, input_path
from services.runtime.jobs.job import Job, JobInput, JobState, Submission
from services.runtime.jobs.store import JobStore
from services.runtime.migrations import migrate
from services.runtime.settings import Settings
from services.triton.environment import REPOSITORY_ROOT
from tests.databases import free_port, wait_until
from tests.exposition import exposed, values
from tests.runtime.jobs.toy import SERVICE
from tests.waiting import PATIENCE_S

#: Longer than a busy machine holds up a process that lives.
LOST_S = 6
STAGES = ("separating", "transcribing", "engraving")


class Line(NamedTuple):
    """A line of the toy stages' log."""

    job: str
    stage: str
    what: str
    pid: int


class Fleet:
    """Workers by their names; `url` is a database that is made ready for them."""

    def __init__(
        self, folder: Path, url: str, files_url: str, variables: Mapping[str, str], **settings: int | str
    ) -> None:
        self.folder = folder
        changed = {"worker_lost_s": LOST_S, "drain_s": 5} | settings
        self.settings = replace(Settings(), database_url=url, files_url=files_url, **changed)  # type: ignore[arg-type]
        self.database = connect(url)
        migrate(self.database)
        self.store = JobStore(self.database, self.settings)
        self.files = FileStore(files_url)
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self.ports: dict[str, int] = {}
        self.log = folder / "toy.log"
        self.log.touch()
        self.model = folder / "model"
        chosen = {
            f"COPYIST_{name.upper()}": str(getattr(self.settings, name))
            for name in ("database_url", "files_url", *changed)
        }
        toy = {"TOY_LOG": str(self.log), "TOY_MODEL": str(self.model)}
        self.variables = {**os.environ, **variables, **chosen, **toy}

    def start(self, *names: str, **variables: str) -> None:
        """Start workers, and wait until they take jobs."""
        for name in names:
            self.ports[name] = free_port()
            environment = {**self.variables, "COPYIST_WORKER_ID": name, **variables}
            # What a former process of this name has said is not taken for this one's.
            self.log_of(name).unlink(missing_ok=True)
            with self.log_of(name).open("ab") as log:
                self.workers[name] = subprocess.Popen(
                    [sys.executable, "-m", "tests.runtime.jobs.toy", str(self.ports[name])],
                    env=environment,
                    cwd=REPOSITORY_ROOT,
                    stdout=log,
                    stderr=log,
                )
        for name in names:
            wait_until(lambda: self.said(name).endswith("takes jobs"), f"{name} takes jobs", PATIENCE_S)  # noqa: B023

    def log_of(self, name: str) -> Path:
        """The log of the latest worker of a name."""
        return self.folder / f"{name}.log"

    def said(self, name: str) -> str:
        """The last line of a worker's log that says that it began or ended."""
        lines = self.log_of(name).read_text().splitlines()
        return next((line for line in reversed(lines) if f"worker {SERVICE}:{name}" in line), "")

    def is_ready(self, name: str) -> bool:
        """Ask a worker; it must tell why when it is not."""
        with httpx.Client(base_url=f"http://127.0.0.1:{self.ports[name]}", timeout=60) as http:
            assert http.get("/livez").status_code == 200
            answer = http.get("/readyz")
        if answer.status_code == 200:
            return True
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert answer.json()["type"] == "urn:copyist:problem:database-unavailable"
        return False

    def jobs_under_way(self, name: str) -> float:
        """How many jobs a worker says that it has in hand."""
        told = exposed(f"http://127.0.0.1:{self.ports[name]}")
        return sum(values(told, "copyist_jobs_under_way", service=SERVICE))

    def kill(self, name: str) -> None:
        self.signal(name, signal.SIGKILL)
        self.workers.pop(name).wait()

    def signal(self, name: str, number: int) -> None:
        self.workers[name].send_signal(number)

    def submit(self, key: str, content: bytes = b"music", **options: str) -> Job:
        return self.store.submit(self.submission(key, content, options))[0]

    def submission(self, key: str, content: bytes, options: Mapping[str, str], **more: str) -> Submission:
        job_id = uuid.uuid4().hex
        stored = self.files.write(input_path(job_id, 0), io.BytesIO(content))
        return Submission(
            id=job_id,
            service=SERVICE,
            owner="somebody",
            key=key,
            title=f"piece-{key}",
            options=options,
            inputs=(JobInput(stored.size, stored.sha256),),
            request_id=f"request-{key}",
            **more,
        )

    def job(self, job: Job) -> Job:
        return self.store.many([job.id])[job.id]

    def wait(self, job: Job, condition: Callable[[Job], bool], limit_s: float = PATIENCE_S) -> Job:
        wait_until(lambda: condition(self.job(job)), f"{self.job(job)}", limit_s)
        return self.job(job)

    def wait_finished(self, jobs: list[Job], limit_s: float = PATIENCE_S) -> list[Job]:
        """Wait until all have ended; gives them as they are then."""
        ids = [job.id for job in jobs]
        deadline = time.monotonic() + limit_s
        while True:
            found = self.store.many(ids)
            if all(job.state.finished for job in found.values()):
                return [found[job_id] for job_id in ids]
            unfinished = [job for job in found.values() if not job.state.finished]
            assert time.monotonic() < deadline, unfinished[:3]
            time.sleep(0.1)

    def lines(self) -> list[Line]:
        """What the stages have logged."""
        return [
            Line(job, stage, what, int(pid))
            for job, stage, what, pid in (text.split() for text in self.log.read_text().splitlines())
        ]

    def busy(self, stage: str) -> tuple[str, str]:
        """Wait until a worker is in the midst of a stage; gives its name and the job."""
        names = {process.pid: name for name, process in self.workers.items()}
        found: list[tuple[str, str]] = []

        def look() -> bool:
            last = {line.job: line for line in self.lines()}
            found[:] = [
                (names[line.pid], line.job)
                for line in last.values()
                if line.stage == stage and line.what == "begins" and line.pid in names
            ]
            return bool(found)

        wait_until(look, f"somebody is {stage}", PATIENCE_S)
        return found[0]

    def catch(self, stage: str) -> tuple[str, str]:
        """Pause a worker in the midst of a stage, however short that is; gives its name and the job."""
        while True:
            name, job_id = self.busy(stage)
            self.signal(name, signal.SIGSTOP)
            wait_until(lambda: self._is_stopped(name), f"{name} stands still")  # noqa: B023
            last = [line for line in self.lines() if line.job == job_id][-1]
            if (last.stage, last.what, last.pid) == (stage, "begins", self.workers[name].pid):
                return name, job_id
            self.signal(name, signal.SIGCONT)

    def _is_stopped(self, name: str) -> bool:
        return bool(psutil.Process(self.workers[name].pid).status() == psutil.STATUS_STOPPED)

    def check_stages_ran_in_order(self) -> None:
        """No stage runs again once a later one has begun: what has ended is never done twice."""
        begun: dict[str, list[str]] = defaultdict(list)
        for line in self.lines():
            if line.what == "begins":
                begun[line.job].append(line.stage)
        for stages in begun.values():
            assert stages == sorted(stages, key=STAGES.index), stages
            assert set(stages) == set(STAGES)

    def begun(self, job: Job) -> list[str]:
        """The stages of a job, in the order in which they were begun."""
        return [line.stage for line in self.lines() if line.job == job.id and line.what == "begins"]

    def check_result(self, job: Job, content: bytes = b"music") -> None:
        """The job completed with the right file."""
        assert job.state is JobState.COMPLETED, job
        assert job.progress_percent == 100
        assert job.finished_at is not None
        assert job.problem is None
        (file,) = job.files
        path = f"jobs/{job.id}/files/{file.sha256}"
        assert self.files.read(path) == b"notes of parts of " + content

    def close(self) -> None:
        for process in self.workers.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
        self.store.close()
        self.database.close()
