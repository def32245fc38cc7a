"""The tables of jobs and workers, and a job's row read as a Job."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from services.runtime.database import UtcTime
from services.runtime.jobs.job import Job, JobFile, JobInput, JobState, Submission
from services.runtime.settings import Settings

FINISHED: Final = tuple(state for state in JobState if state.finished)
UNFINISHED: Final = tuple(state for state in JobState if not state.finished)
#: A job in one of these states gives way to a new one of the same key.
REPLACEABLE: Final = (JobState.FAILED, JobState.CANCELLED)


METADATA: Final = sa.MetaData()

JOBS: Final = sa.Table(
    "jobs",
    METADATA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("service", sa.String(16), nullable=False),
    sa.Column("owner", sa.String(200), nullable=False),
    sa.Column("key", sa.String(256), nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("options", sa.JSON, nullable=False),
    sa.Column("inputs", sa.JSON, nullable=False),
    sa.Column("webhook_url", sa.Text, nullable=False),
    sa.Column("request_id", sa.Text, nullable=False),
    sa.Column("trace", sa.Text, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("progress_percent", sa.Integer, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    # How often it was begun; every write of an attempt names its number, so that a former one cannot write.
    sa.Column("attempts", sa.Integer, nullable=False),
    # How many attempts in a row ended with their worker, without a stage finished in between.
    sa.Column("crashes", sa.Integer, nullable=False),
    # The worker of the attempt under way; left behind where a worker ended without a word.
    sa.Column("worker", sa.String(200)),
    sa.Column("cancelling", sa.Boolean, nullable=False),
    sa.Column("files", sa.JSON, nullable=False),
    sa.Column("problem", sa.JSON(none_as_null=True)),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("started_at", UtcTime),
    sa.Column("finished_at", UtcTime),
    sa.Column("expires_at", UtcTime),
    sa.Column("version", sa.Integer, nullable=False),
)

WORKERS: Final = sa.Table(
    "workers",
    METADATA,
    sa.Column("id", sa.String(200), primary_key=True),
    sa.Column("service", sa.String(16), nullable=False),
    # Of one process: a worker that starts anew under the same id has another.
    sa.Column("session", sa.String(32), nullable=False),
    # Grows while the worker lives. Others watch it change by their own clocks, so clocks need not agree.
    sa.Column("beat", sa.BigInteger, nullable=False),
    sa.Column("seen_at", UtcTime, nullable=False),
)


def now() -> datetime:
    """The time now, in UTC."""
    return datetime.now(UTC)


def job_of(row: sa.RowMapping) -> Job:
    """Read a row of `jobs`."""
    return Job(
        submission=Submission(
            id=row["id"],
            service=row["service"],
            owner=row["owner"],
            key=row["key"],
            title=row["title"],
            options=row["options"],
            inputs=tuple(JobInput(**entry) for entry in row["inputs"]),
            webhook_url=row["webhook_url"],
            request_id=row["request_id"],
            trace=row["trace"],
        ),
        state=JobState(row["state"]),
        progress_percent=row["progress_percent"],
        message=row["message"],
        attempts=row["attempts"],
        cancelling=row["cancelling"],
        files=tuple(JobFile(**entry) for entry in row["files"]),
        problem=row["problem"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        expires_at=row["expires_at"],
        version=row["version"],
    )


def end_values(
    state: JobState, settings: Settings, problem: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The columns of a job that has ended."""
    ended = now()
    return {
        "state": state.value,
        "message": "",
        "problem": dict(problem) if problem is not None else None,
        "cancelling": False,
        "worker": None,
        "finished_at": ended,
        "expires_at": ended + timedelta(days=settings.jobs_expire_days),
    }
