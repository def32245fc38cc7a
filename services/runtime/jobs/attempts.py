"""What a worker writes of the jobs it does: each write names the attempt, so that only the latest writes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import sqlalchemy as sa

from services.errors import CopyistError
from services.runtime import problems
from services.runtime.database import Database
from services.runtime.jobs.job import Job, JobFile, JobState
from services.runtime.jobs.queue import JobQueue
from services.runtime.jobs.tables import JOBS, end_values, job_of, now
from services.runtime.settings import Settings


class LostAttemptError(BaseException):
    """This worker's attempt at a job is over: the job was given to another, or given back.

    Not an Exception, as nothing is to catch it on its way: DBOS records neither a result nor a failure, and
    the job's workflow goes on where it is taken up again.
    """


class CrashingJobError(CopyistError):
    """The job ended its worker each time it was begun."""

    slug = "job-crashes"
    title = "The job ended its worker each time it was begun"


class Progress(NamedTuple):
    """How far an attempt is."""

    job_id: str
    attempt: int
    percent: int
    message: str


class Watched(NamedTuple):
    """What a worker must know of a job that it does."""

    attempt: int
    cancelling: bool
    finished: bool


class Attempts:
    """The attempts of one worker; synchronous, for any number of threads.

    All methods raise DatabaseUnavailableError when the database does not answer, and those that write of an
    attempt LostAttemptError when it is not the job's latest any more.

    Args:
        database: with its schema up to date.
        queue: on which webhooks are told of.
        settings: when a job counts as crashing, and when it expires.
        worker_id: whose attempts.
    """

    def __init__(self, database: Database, queue: JobQueue, settings: Settings, worker_id: str) -> None:
        self._database = database
        self._queue = queue
        self._settings = settings
        self._worker_id = worker_id

    def is_suspect(self, job_id: str) -> bool:
        """Whether the worker of the attempt before ended without a word, perhaps because of this job."""
        query = sa.select(JOBS.c.crashes, JOBS.c.worker).where(JOBS.c.id == job_id)
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        return row is not None and (row.crashes > 0 or row.worker is not None)

    def begin(self, job_id: str) -> Job | None:
        """Begin an attempt; None when there is nothing to do, or nothing more."""
        with self._database.begin() as connection:
            query = sa.select(JOBS).where(JOBS.c.id == job_id).with_for_update()
            row = connection.execute(query).mappings().one_or_none()
            if row is None or JobState(row["state"]).finished:
                return None
            job = job_of(row)
            # An attempt that ended in any orderly way has taken its worker out of the row.
            crashes = row["crashes"] + (row["worker"] is not None)
            if job.cancelling:
                self._end(connection, job, JobState.CANCELLED, None)
                return None
            if crashes >= self._settings.max_job_attempts:
                problem = problems.document(_crashing(crashes), job.submission.request_id)
                self._end(connection, job, JobState.FAILED, problem)
                return None
            values = {
                "attempts": job.attempts + 1,
                "crashes": crashes,
                "worker": self._worker_id,
                "started_at": job.started_at or now(),
            }
            _write(connection, job, values)
            return job_of(connection.execute(sa.select(JOBS).where(JOBS.c.id == job_id)).mappings().one())

    def stage_begins(self, job: Job, state: JobState, percent: int) -> None:
        """Tell that a stage begins."""
        with self._database.begin() as connection:
            _write(
                connection,
                job,
                {"state": state.value, "message": "", "progress_percent": _at_least(percent)},
            )

    def stage_ended(self, job: Job) -> None:
        """Tell that a stage has ended: what crashes from now on has crashed for the first time."""
        with self._database.begin() as connection:
            _write(connection, job, {"crashes": 0})

    def tell(self, told: Iterable[Progress]) -> None:
        """Tell of progress; that of lost attempts is passed over."""
        with self._database.begin() as connection:
            for progress in told:
                connection.execute(
                    sa.update(JOBS)
                    .where(*_latest(progress.job_id, progress.attempt))
                    .values(
                        progress_percent=_at_least(progress.percent),
                        message=progress.message,
                        version=JOBS.c.version + 1,
                    )
                )

    def publish(self, job: Job, files: Sequence[JobFile]) -> None:
        """Add files to the job's result; one of the same name is replaced."""
        with self._database.begin() as connection:
            query = sa.select(JOBS.c.files).where(*_latest(job.id, job.attempts)).with_for_update()
            found = connection.execute(query).scalar_one_or_none()
            if found is None:
                raise LostAttemptError
            by_name = {entry["name"]: entry for entry in found} | {file.name: asdict(file) for file in files}
            _write(connection, job, {"files": list(by_name.values())})

    def end(self, job: Job, state: JobState, problem: Mapping[str, Any] | None) -> None:
        """Tell that the job has ended, and have its webhook called."""
        with self._database.begin() as connection:
            self._end(connection, job, state, problem)

    def hand_back(self, job: Job) -> None:
        """Tell that the attempt ends because its worker stops: the job waits again, as if it were new."""
        with self._database.begin() as connection:
            _write(connection, job, {"state": JobState.QUEUED.value, "message": "", "worker": None})

    def watched(self, job_ids: Collection[str]) -> dict[str, Watched]:
        """What is to be known of jobs under way; those that are gone are left out."""
        query = sa.select(JOBS.c.id, JOBS.c.attempts, JOBS.c.cancelling, JOBS.c.finished_at).where(
            JOBS.c.id.in_(list(job_ids))
        )
        with self._database.read() as connection:
            return {
                row.id: Watched(row.attempts, row.cancelling, row.finished_at is not None)
                for row in connection.execute(query)
            }

    def _end(
        self, connection: sa.Connection, job: Job, state: JobState, problem: Mapping[str, Any] | None
    ) -> None:
        values = end_values(state, self._settings, problem)
        if state is JobState.COMPLETED:
            values["progress_percent"] = 100
        _write(connection, job, values)
        if job.submission.webhook_url:
            self._queue.add_webhook(connection, job.id, 1)


def _latest(job_id: str, attempt: int) -> tuple[sa.ColumnElement[bool], ...]:
    return (JOBS.c.id == job_id, JOBS.c.attempts == attempt, JOBS.c.finished_at.is_(None))


def _write(connection: sa.Connection, job: Job, values: Mapping[str, Any]) -> None:
    changed = connection.execute(
        sa.update(JOBS).where(*_latest(job.id, job.attempts)).values(version=JOBS.c.version + 1, **values)
    )
    if changed.rowcount != 1:
        raise LostAttemptError


def _at_least(percent: int) -> sa.ColumnElement[int]:
    return sa.case((JOBS.c.progress_percent > percent, JOBS.c.progress_percent), else_=percent)


def _crashing(crashes: int) -> CrashingJobError:
    return CrashingJobError(
        f"The job was begun {crashes} times, and its worker ended without a word each time.",
        remedy="Do not send it again as it is; report its id.",
    )
