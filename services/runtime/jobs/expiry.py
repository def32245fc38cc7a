"""Forgets jobs that have expired, and what was left behind; any number of workers may do it at once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import sqlalchemy as sa

from services.runtime import problems
from services.runtime.database import Database
from services.runtime.files import FileStore, job_folder
from services.runtime.jobs import metrics
from services.runtime.jobs.attempts import Attempts, LostAttemptError
from services.runtime.jobs.job import JobState
from services.runtime.jobs.queue import JobQueue
from services.runtime.jobs.store import JobStore
from services.runtime.jobs.tables import JOBS, job_of, now
from services.runtime.settings import Settings

log = logging.getLogger("copyist.jobs")

#: Handled at a time, so that no list grows with the number of jobs.
_BATCH: Final = 200
#: Uploads lie in the storage before their job is recorded; after this time none is still coming.
_ORPHAN_AGE: Final = timedelta(days=1)
#: A job whose workflow has ended ends within moments.
_STRANDED_AGE: Final = timedelta(minutes=10)


class Expiry:
    """Sweeps the database and the storage; synchronous.

    Args:
        database: of the jobs.
        store: of the jobs.
        queue: of the jobs.
        attempts: to end jobs that were forgotten by mistake.
        files: of the jobs.
        settings: when jobs expire.
    """

    def __init__(
        self,
        database: Database,
        store: JobStore,
        queue: JobQueue,
        attempts: Attempts,
        files: FileStore,
        settings: Settings,
    ) -> None:
        self._database = database
        self._store = store
        self._queue = queue
        self._attempts = attempts
        self._files = files
        self._kept = timedelta(days=settings.jobs_expire_days)

    def sweep(self) -> None:
        """Forget all that is to be forgotten."""
        while expired := self._expired():
            # The row goes last: a sweep that is killed halfway is finished by the next.
            for job_id in expired:
                self._files.remove_tree(job_folder(job_id))
            self._store.erase(expired)
            for service in expired.values():
                metrics.EXPIRED.labels(service).inc()
            log.info("%d jobs have expired", len(expired))
        self._remove_orphans()
        self._end_stranded()
        # Webhooks are told within a day or two; whatever of DBOS is older than its job is of no use.
        before = (now() - self._kept - _ORPHAN_AGE).isoformat()
        while ended := self._queue.ended_before(before, _BATCH):
            self._queue.forget(ended)

    def _expired(self) -> dict[str, str]:
        """Some jobs that have expired, and whose service's they are."""
        query = (
            sa.select(JOBS.c.id, JOBS.c.service).where(JOBS.c.expires_at < now()).order_by(JOBS.c.expires_at)
        )
        with self._database.read() as connection:
            return {row.id: row.service for row in connection.execute(query.limit(_BATCH))}

    def _remove_orphans(self) -> None:
        """Remove folders without a job: uploads that broke off, and what lost attempts wrote too late."""
        folders = self._files.list("jobs")
        for start in range(0, len(folders), _BATCH):
            for job_id in self._without_job(folders[start : start + _BATCH]):
                changed_at = self._files.changed_at(job_folder(job_id))
                if changed_at is None or now() - changed_at > _ORPHAN_AGE:
                    self._files.remove_tree(job_folder(job_id))

    def _without_job(self, job_ids: Sequence[str]) -> list[str]:
        query = sa.select(JOBS.c.id).where(JOBS.c.id.in_(job_ids))
        with self._database.read() as connection:
            known = set(connection.execute(query).scalars())
        return [job_id for job_id in job_ids if job_id not in known]

    def _end_stranded(self) -> None:
        """End jobs whose workflow has ended, or gone, without them: no worker would come back to them."""
        query = (
            sa.select(JOBS)
            .where(JOBS.c.finished_at.is_(None), JOBS.c.created_at < now() - _STRANDED_AGE)
            .order_by(JOBS.c.created_at)
            .limit(_BATCH)
        )
        with self._database.read() as connection:
            jobs = {row["id"]: job_of(row) for row in connection.execute(query).mappings()}
        alive = self._queue.alive(list(jobs))
        for job_id in jobs.keys() - alive:
            job = jobs[job_id]
            log.error("the job %s was left behind by its workflow", job_id)
            problem = problems.document(
                problems.unexpected(job.submission.request_id), job.submission.request_id
            )
            try:
                self._attempts.end(job, JobState.FAILED, problem)
            except LostAttemptError:
                continue
