"""A job as the HTTP API tells it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from services.runtime.jobs.job import Job

PATH: Final = "/v1/jobs"


def job_path(job_id: str) -> str:
    """Where a job is found."""
    return f"{PATH}/{job_id}"


def job_json(job: Job) -> dict[str, Any]:
    """Write a job as the members of a JSON object."""
    submission = job.submission
    path = job_path(job.id)
    return {
        "id": job.id,
        "service": submission.service,
        "title": submission.title,
        "state": job.state.value,
        "progress": job.progress_percent,
        "message": job.message,
        "cancelling": job.cancelling,
        "attempts": job.attempts,
        "created_at": _rfc_3339(job.created_at),
        "started_at": _rfc_3339(job.started_at),
        "finished_at": _rfc_3339(job.finished_at),
        "expires_at": _rfc_3339(job.expires_at),
        "options": dict(submission.options),
        "inputs": [asdict(given) for given in submission.inputs],
        "files": [
            {**asdict(file), "href": f"{path}/files/{quote(file.name, safe='')}"} for file in job.files
        ],
        "problem": None if job.problem is None else dict(job.problem),
        "links": {"self": path, "events": f"{path}/events"},
    }


def _rfc_3339(time: datetime | None) -> str | None:
    if time is None:
        return None
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
