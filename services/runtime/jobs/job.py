"""A job as everybody sees it: the store that keeps it, the API that tells of it, the worker that does it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class JobState(StrEnum):
    """Where a job stands; the four between `queued` and `completed` name the stage under way."""

    QUEUED = "queued"
    SEPARATING = "separating"
    TRANSCRIBING = "transcribing"
    RECOGNIZING = "recognizing"
    ENGRAVING = "engraving"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen to the job."""
        return self in (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True, slots=True)
class JobInput:
    """An uploaded file of a job.

    Attributes:
        size: in bytes.
        sha256: of its content, in hex.
    """

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class JobFile:
    """A file that a job made.

    Attributes:
        name: with its suffix, never a path; unique within the job.
        format: as it was asked for, or `answer` for the JSON answer.
        media_type: of its content.
        size: in bytes.
        sha256: of its content, in hex.
    """

    name: str
    format: str
    media_type: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What a caller hands in; its files lie in the storage already, under the job's id.

    Attributes:
        id: of the job to be: 32 hex digits.
        service: which service's workers are to do it, `amt` or `omr`.
        owner: whose job it is.
        key: what makes two submissions of one owner the same: the caller's Idempotency-Key, or a digest of
            content and options.
        title: what the result's files are called by; never a path.
        options: what is asked for, as texts by name; checked.
        inputs: the uploaded files, in order.
        webhook_url: is told of the job's end; empty for none.
        request_id: of the request that submitted it.
        trace: its W3C `traceparent`; empty for none.
    """

    id: str
    service: str
    owner: str
    key: str
    title: str
    options: Mapping[str, str]
    inputs: tuple[JobInput, ...]
    webhook_url: str = ""
    request_id: str = ""
    trace: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job at one moment. Times are in UTC.

    Attributes:
        submission: what was handed in.
        state: where it stands.
        progress_percent: 0 to 100, never falling.
        message: a word on what is being done, such as `page 3 of 20`.
        attempts: how often it was begun.
        cancelling: whether it was asked to end; a worker will see to it.
        files: what it made; complete only once it is completed.
        problem: why it failed, as the members of a problem document; None unless it has.
        expires_at: when it and its files will be forgotten; None until it is finished.
        version: grows by one with every change that a watcher should be told of.
    """

    submission: Submission
    state: JobState
    progress_percent: int = 0
    message: str = ""
    attempts: int = 0
    cancelling: bool = False
    files: tuple[JobFile, ...] = ()
    problem: Mapping[str, Any] | None = None
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    expires_at: datetime | None = None
    version: int = field(default=1)

    @property
    def id(self) -> str:
        """The job's id."""
        return self.submission.id
