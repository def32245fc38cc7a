"""The record of all jobs: what the API reads, and where submitting and cancelling begin."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from services.errors import OverloadedError, UnknownOptionError
from services.runtime.database import Database
from services.runtime.jobs.job import Job, JobState, Submission
from services.runtime.jobs.queue import JobQueue, webhook_id, webhooks_due
from services.runtime.jobs.tables import JOBS, REPLACEABLE, end_values, job_of, now
from services.runtime.problems import NotFoundError
from services.runtime.settings import Settings

#: Serialises submissions on PostgreSQL for the length of one insertion, so that limits are exact.
_SUBMISSION_LOCK: Final = 0x4A4F4253


class JobNotFoundError(NotFoundError):
    """There is no such job, or it is another's."""

    slug = "job-not-found"
    title = "There is no such job"


@dataclass(frozen=True, slots=True)
class JobPage:
    """A part of a listing, newest first.

    Attributes:
        jobs: in order.
        next: what to ask for `after` this part; None at the end.
    """

    jobs: tuple[Job, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class JobCounts:
    """How much a service has to do.

    Attributes:
        by_state: jobs in each state; absent states have none.
        oldest_queued_s: seconds that the oldest queued job has waited; 0 when none waits.
        webhooks_due: calls of webhooks that should be made, or are being made, now.
    """

    by_state: Mapping[JobState, int]
    oldest_queued_s: float
    webhooks_due: int


class JobStore:
    """Jobs in the database; synchronous, for any number of threads.

    All methods raise DatabaseUnavailableError when the database does not answer.

    Args:
        database: with its schema up to date (`services.runtime.migrations.prepare`).
        settings: the limits on jobs, and when they expire.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._queue = JobQueue(database)

    def submit(self, submission: Submission) -> tuple[Job, bool]:
        """Take in a job, unless the owner has it already by its key, unfinished or completed.

        Returns:
            The job, and whether it is new. If it is not, the files of the submission's id are of no use.

        Raises:
            OverloadedError: the service, or the owner, has as many unfinished jobs as it may.
        """
        with self._database.begin() as connection:
            if not self._database.is_sqlite:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SUBMISSION_LOCK)))
            by_key = _lasting(submission.service, submission.owner, submission.key)
            found = connection.execute(by_key).mappings().one_or_none()
            if found is not None:
                return job_of(found), False
            self._check_room(connection, submission)
            insert = (sqlite if self._database.is_sqlite else postgresql).insert(JOBS)
            connection.execute(insert.values(_new_row(submission)))
            self._queue.add_job(connection, submission.service, submission.id)
            return job_of(connection.execute(by_key).mappings().one()), True

    def find(self, service: str, owner: str, job_id: str) -> Job:
        """Give a job of an owner.

        Raises:
            JobNotFoundError: the owner has no such job at this service.
        """
        with self._database.read() as connection:
            return _find(connection, service, owner, job_id)

    def find_by_key(self, service: str, owner: str, key: str) -> Job | None:
        """Give the job that a submission of this key would be given: unfinished or completed."""
        with self._database.read() as connection:
            row = connection.execute(_lasting(service, owner, key)).mappings().one_or_none()
        return None if row is None else job_of(row)

    def list(
        self,
        service: str,
        owner: str,
        states: Collection[JobState] = (),
        limit: int = 50,
        after: str | None = None,
    ) -> JobPage:
        """List an owner's jobs, newest first.

        Args:
            states: only these; all when empty.
            limit: most jobs to give.
            after: a former page's `next`.

        Raises:
            UnknownOptionError: `after` is not of a former page.
        """
        query = sa.select(JOBS).where(JOBS.c.service == service, JOBS.c.owner == owner)
        if states:
            query = query.where(JOBS.c.state.in_([state.value for state in states]))
        if after is not None:
            created_at, job_id = _place(after)
            query = query.where(
                sa.or_(
                    JOBS.c.created_at < created_at,
                    sa.and_(JOBS.c.created_at == created_at, JOBS.c.id < job_id),
                )
            )
        query = query.order_by(JOBS.c.created_at.desc(), JOBS.c.id.desc()).limit(limit + 1)
        with self._database.read() as connection:
            jobs = [job_of(row) for row in connection.execute(query).mappings()]
        return JobPage(tuple(jobs[:limit]), _place_text(jobs[limit - 1]) if len(jobs) > limit else None)

    def cancel(self, service: str, owner: str, job_id: str) -> Job:
        """Cancel a job: at once while it is queued; a running one is marked, and its worker ends it soon.

        A finished job stays as it is.

        Raises:
            JobNotFoundError: the owner has no such job at this service.
        """
        with self._database.begin() as connection:
            job = _find(connection, service, owner, job_id, lock=True)
            if job.state.finished or job.cancelling:
                return job
            waiting = job.state is JobState.QUEUED
            values = end_values(JobState.CANCELLED, self._settings) if waiting else {"cancelling": True}
            connection.execute(
                sa.update(JOBS).where(JOBS.c.id == job_id).values(version=JOBS.c.version + 1, **values)
            )
            if waiting and job.submission.webhook_url:
                self._queue.add_webhook(connection, job_id, 1)
            return _find(connection, service, owner, job_id)

    def forget(self, service: str, owner: str, job_id: str) -> None:
        """Remove a finished job's record; its folder of files is the caller's to remove, before.

        Raises:
            JobNotFoundError: the owner has no such finished job at this service.
        """
        job = self.find(service, owner, job_id)
        if not job.state.finished:
            raise _not_found(job_id)
        self.erase([job_id])

    def erase(self, job_ids: Collection[str]) -> None:
        """Remove all records of finished jobs, whoever's they are."""
        tries = range(1, self._settings.webhook_attempts + 1)
        self._queue.forget([*job_ids, *(webhook_id(job_id, n) for job_id in job_ids for n in tries)])
        with self._database.begin() as connection:
            connection.execute(
                sa.delete(JOBS).where(JOBS.c.id.in_(list(job_ids)), JOBS.c.finished_at.is_not(None))
            )

    def many(self, job_ids: Iterable[str]) -> dict[str, Job]:
        """Give jobs by their ids, whoever's they are; absent ones are left out."""
        query = sa.select(JOBS).where(JOBS.c.id.in_(list(job_ids)))
        with self._database.read() as connection:
            return {row["id"]: job_of(row) for row in connection.execute(query).mappings()}

    def counts(self, service: str) -> JobCounts:
        """Count a service's jobs: unfinished ones, and finished ones that have not expired."""
        query = (
            sa.select(
                JOBS.c.state, sa.func.count().label("jobs"), sa.func.min(JOBS.c.created_at).label("oldest")
            )
            .where(JOBS.c.service == service)
            .group_by(JOBS.c.state)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).mappings().all()
            due = webhooks_due(connection, service)
        oldest = [row["oldest"] for row in rows if row["state"] == JobState.QUEUED and row["oldest"]]
        return JobCounts(
            {JobState(row["state"]): row["jobs"] for row in rows},
            max(0.0, (now() - oldest[0]).total_seconds()) if oldest else 0.0,
            due,
        )

    def close(self) -> None:
        """Let go of what belongs to the store (not the database's connections)."""
        self._queue.close()

    def _check_room(self, connection: sa.Connection, submission: Submission) -> None:
        unfinished = (
            sa.select(
                sa.func.count().label("all"),
                sa.func.count().filter(JOBS.c.owner == submission.owner).label("owners"),
            )
            .select_from(JOBS)
            .where(JOBS.c.service == submission.service, JOBS.c.finished_at.is_(None))
        )
        counted = connection.execute(unfinished).mappings().one()
        if counted["owners"] >= self._settings.max_jobs_per_owner:
            raise _overloaded(f"You have {counted['owners']} unfinished jobs, and may have no more")
        if counted["all"] >= self._settings.max_jobs:
            raise _overloaded(f"The service has {counted['all']} unfinished jobs, and takes no more")


def _new_row(submission: Submission) -> dict[str, Any]:
    return {
        **asdict(submission),
        "options": dict(submission.options),
        "inputs": [asdict(entry) for entry in submission.inputs],
        "state": JobState.QUEUED.value,
        "progress_percent": 0,
        "message": "",
        "attempts": 0,
        "crashes": 0,
        "cancelling": False,
        "files": [],
        "created_at": now(),
        "version": 1,
    }


def _lasting(service: str, owner: str, key: str) -> sa.Select[Any]:
    return sa.select(JOBS).where(
        JOBS.c.service == service,
        JOBS.c.owner == owner,
        JOBS.c.key == key,
        JOBS.c.state.not_in([state.value for state in REPLACEABLE]),
    )


def _find(connection: sa.Connection, service: str, owner: str, job_id: str, *, lock: bool = False) -> Job:
    query = sa.select(JOBS).where(JOBS.c.id == job_id, JOBS.c.service == service, JOBS.c.owner == owner)
    row = connection.execute(query.with_for_update() if lock else query).mappings().one_or_none()
    if row is None:
        raise _not_found(job_id)
    return job_of(row)


def _not_found(job_id: str) -> JobNotFoundError:
    return JobNotFoundError(
        f"There is no job {job_id}.", remedy="Jobs are forgotten some days after their end."
    )


def _overloaded(what: str) -> OverloadedError:
    return OverloadedError(f"{what}.", remedy="Try again when some have ended.", retry_after_s=30)


def _place_text(job: Job) -> str:
    return base64.urlsafe_b64encode(f"{job.created_at.isoformat()}/{job.id}".encode()).decode()


def _place(after: str) -> tuple[datetime, str]:
    try:
        moment, _, job_id = base64.urlsafe_b64decode(after.encode()).decode().partition("/")
        return datetime.fromisoformat(moment).astimezone(UTC), job_id
    except (ValueError, binascii.Error, OverflowError):
        raise UnknownOptionError(
            "`after` is not a place in a listing.", remedy="Take it from the former page's link."
        ) from None
