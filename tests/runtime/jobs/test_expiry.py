"""What has expired is forgotten, what was left behind is removed, and all else stays."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from services.runtime.database import Database
from services.runtime.files import input_path
from services.runtime.jobs.attempts import Attempts
from services.runtime.jobs.expiry import Expiry
from services.runtime.jobs.job import Job, JobState
from services.runtime.jobs.queue import JobQueue
from services.runtime.jobs.tables import JOBS, now
from tests.databases import wait_until
from tests.runtime.jobs.conftest import MakeFleet
from tests.runtime.jobs.fleet import Fleet


@pytest.fixture
def fleet(any_fleet: MakeFleet) -> Iterator[Fleet]:
    return any_fleet()


def sweeper(fleet: Fleet) -> Expiry:
    queue = JobQueue(fleet.database)
    attempts = Attempts(fleet.database, queue, fleet.settings, "sweeper")
    return Expiry(fleet.database, fleet.store, queue, attempts, fleet.files, fleet.settings)


def change(database: Database, job: Job, **values: Any) -> None:
    with database.begin() as connection:
        connection.execute(sa.update(JOBS).where(JOBS.c.id == job.id).values(**values))


def workflows(database: Database) -> int:
    schema = "" if database.is_sqlite else "dbos."
    with database.read() as connection:
        counts = [
            connection.execute(sa.text(f"SELECT count(*) FROM {schema}{table}")).scalar() or 0
            for table in ("workflow_status", "workflow_input")
        ]
    assert len(set(counts)) == 1
    return counts[0]


def test_expired_jobs_go_with_all_that_is_theirs(fleet: Fleet) -> None:
    expired = [fleet.submit(f"expired {number}") for number in range(5)]
    finished, waiting = fleet.submit("finished"), fleet.submit("waiting")
    for job in (*expired, finished):
        fleet.store.cancel("amt", "somebody", job.id)
    for job in expired:
        change(fleet.database, job, expires_at=now() - timedelta(seconds=1))
    kept_until = fleet.job(finished).expires_at
    assert kept_until is not None
    assert timedelta(days=6.9) < kept_until - now() < timedelta(days=7)

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda _: sweeper(fleet).sweep(), range(3)))

    ids = [job.id for job in (*expired, finished, waiting)]
    assert fleet.store.many(ids).keys() == {finished.id, waiting.id}
    assert fleet.files.list("jobs") == sorted([finished.id, waiting.id])
    assert workflows(fleet.database) == 2


def test_jobs_that_their_workflow_left_behind_end_as_failed(fleet: Fleet) -> None:
    left, waiting, new = fleet.submit("left"), fleet.submit("waiting"), fleet.submit("new")
    for job in (left, waiting):
        change(fleet.database, job, created_at=now() - timedelta(hours=1))
    JobQueue(fleet.database)._client.cancel_workflows([left.id, new.id])

    sweeper(fleet).sweep()

    ended = fleet.job(left)
    assert ended.state is JobState.FAILED
    assert ended.problem is not None
    assert ended.problem["type"].endswith("internal-error")
    assert fleet.job(waiting).state is fleet.job(new).state is JobState.QUEUED


def test_folders_without_a_job_go_once_they_are_old(small_fleet: MakeFleet) -> None:
    fleet = small_fleet()
    known = fleet.submit("known")
    for name in ("old", "new"):
        fleet.files.write(input_path(name, 0), io.BytesIO(b"x"))
    two_days_ago = time.time() - 2 * 86400
    for folder in (fleet.folder / "files" / "jobs" / name for name in ("old", known.id)):
        for path in (*folder.rglob("*"), folder):
            os.utime(path, (two_days_ago, two_days_ago))

    sweeper(fleet).sweep()

    assert fleet.files.list("jobs") == sorted(["new", known.id])


@pytest.mark.slow
def test_workers_sweep(small_fleet: MakeFleet, tmp_path: Path) -> None:
    fleet = small_fleet()
    fleet.start("one", "two")
    (job,) = fleet.wait_finished([fleet.submit("1")])
    fleet.check_result(job)
    submission = replace(job.submission, id="f" * 32)
    assert fleet.store.submit(submission) == (job, False)
    wait_until(lambda: not JobQueue(fleet.database).taken("amt"), "DBOS has recorded the job's end")
    change(fleet.database, job, expires_at=now())

    wait_until(lambda: fleet.store.many([job.id]) == {}, "the job is forgotten")

    assert fleet.files.list("jobs") == []
    assert workflows(fleet.database) == 0
