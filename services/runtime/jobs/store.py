"""The record of all jobs: what the API reads, and where cancelling and submitting begin."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from services.runtime.database import Database
from services.runtime.jobs.job import Job, JobState, Submission
from services.runtime.problems import NotFoundError
from services.runtime.settings import Settings


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
    """

    by_state: Mapping[JobState, int]
    oldest_queued_s: float


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

    def submit(self, submission: Submission) -> tuple[Job, bool]:
        """Take in a job, unless the owner has it already by its key, unfinished or completed.

        Returns:
            The job, and whether it is new. If it is not, the files of the submission's id are of no use.

        Raises:
            OverloadedError: the service, or the owner, has as many unfinished jobs as it may.
        """
        raise NotImplementedError

    def find(self, service: str, owner: str, job_id: str) -> Job:
        """Give a job of an owner.

        Raises:
            JobNotFoundError: the owner has no such job at this service.
        """
        raise NotImplementedError

    def find_by_key(self, service: str, owner: str, key: str) -> Job | None:
        """Give the job that a submission of this key would be given: unfinished or completed."""
        raise NotImplementedError

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
        raise NotImplementedError

    def cancel(self, service: str, owner: str, job_id: str) -> Job:
        """Cancel a job: at once while it is queued; a running one is marked, and its worker ends it soon.

        A finished job stays as it is.

        Raises:
            JobNotFoundError: the owner has no such job at this service.
        """
        raise NotImplementedError

    def forget(self, service: str, owner: str, job_id: str) -> None:
        """Remove a finished job's record; its folder of files is the caller's to remove, before.

        Raises:
            JobNotFoundError: the owner has no such finished job at this service.
        """
        raise NotImplementedError

    def many(self, job_ids: Iterable[str]) -> dict[str, Job]:
        """Give jobs by their ids, whoever's they are; absent ones are left out."""
        raise NotImplementedError

    def counts(self, service: str) -> JobCounts:
        """Count a service's jobs."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of the connections that belong to the store (not the database's)."""
        raise NotImplementedError
