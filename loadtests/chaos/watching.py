"""Looks at the table of jobs all the time, as the killing needs to know it, and the counting afterwards."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa

from loadtests.chaos.site import SERVICES
from services.errors import DatabaseUnavailableError
from services.runtime.database import Database
from services.runtime.jobs.job import JobState
from services.runtime.jobs.queue import JobQueue
from services.runtime.jobs.tables import JOBS

LOOK_EVERY_S: Final = 0.05
HOLDERS_EVERY_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Seen:
    """A job's row.

    Attributes:
        state: where the job stands.
        attempts: how often it was begun.
        crashes: how many attempts in a row, the present one not counted, ended with their worker.
        worker: of the present attempt.
    """

    state: JobState
    attempts: int
    crashes: int
    worker: str


def look(database: Database) -> dict[str, Seen]:
    """Read all jobs by their ids.

    Raises:
        DatabaseUnavailableError: the database is away.
    """
    query = sa.select(JOBS.c.id, JOBS.c.state, JOBS.c.attempts, JOBS.c.crashes, JOBS.c.worker)
    with database.read() as connection:
        return {
            row.id: Seen(JobState(row.state), row.attempts, row.crashes, row.worker or "")
            for row in connection.execute(query)
        }


@dataclass
class Watch:
    """A thread that looks, and remembers when each attempt was first seen and when each job had ended.

    Attributes:
        begun_at: by job and attempt, on the clock of `time.monotonic`.
        ended_at: by job.
        held_at: by job and worker, when the queue last said that this worker has it.
    """

    database: Database
    begun_at: dict[tuple[str, int], float] = field(default_factory=dict)
    ended_at: dict[str, float] = field(default_factory=dict)
    held_at: dict[tuple[str, str], float] = field(default_factory=dict)
    _now: Mapping[str, Seen] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, name="watch")
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def now(self) -> Mapping[str, Seen]:
        """What was last seen."""
        return self._now

    def unfinished(self, jobs: Collection[str]) -> list[str]:
        """Those of the jobs that have not ended."""
        return [job for job in jobs if job not in self.ended_at]

    def _run(self) -> None:
        queue, held_next = JobQueue(self.database), 0.0
        while not self._stop.wait(LOOK_EVERY_S):
            try:
                self._now = look(self.database)
                if time.monotonic() >= held_next:
                    self._look_at_holders(queue)
                    held_next = time.monotonic() + HOLDERS_EVERY_S
            except DatabaseUnavailableError:
                continue
            moment = time.monotonic()
            for job, seen in self._now.items():
                self.begun_at.setdefault((job, seen.attempts), moment)
                if seen.state.finished:
                    self.ended_at.setdefault(job, moment)
        queue.close()

    def _look_at_holders(self, queue: JobQueue) -> None:
        moment = time.monotonic()
        for service in SERVICES:
            for entry in queue.taken(service):
                self.held_at[entry.workflow_id, entry.executor_id or ""] = moment
