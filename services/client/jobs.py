"""Jobs as the service tells of them, as typed frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any

from services.client.errors import BadAnswerError
from services.client.results import file_suffix


class Service(StrEnum):
    """Which service does a job."""

    RECORDINGS = "amt"
    PAGES = "omr"


class JobState(StrEnum):
    """Where a job stands; between `queued` and `completed` the stage that is under way."""

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
class JobFile:
    """A file that a job made.

    Attributes:
        name: such as `prelude.mid`.
        format: as it was asked for; `answer` for the JSON answer.
        media_type: such as `audio/midi`.
        size: in bytes.
        sha256: of its content, in hex.
        href: its address on the service.
    """

    name: str
    format: str
    media_type: str
    size: int
    sha256: str
    href: str

    @property
    def suffix(self) -> str:
        """The name's suffix with its dot; of an overlay with the page's number before it."""
        return file_suffix(self.name)


@dataclass(frozen=True, slots=True)
class Job:
    """A job at one moment.

    Attributes:
        id: 32 hex digits.
        service: which service does it.
        title: what its files are called by.
        state: where it stands.
        progress: 0 to 100 percent, never falling.
        message: a word on what is being done.
        cancelling: whether it was asked to end, and will in a moment.
        attempts: how often it was begun.
        created_at, started_at, finished_at: None for what has not come yet.
        expires_at: when it and its files will be forgotten.
        options: what was asked for.
        files: complete once it is completed.
        problem: why it failed, as the members of an RFC 9457 problem.
    """

    id: str
    service: Service
    title: str
    state: JobState
    progress: int
    message: str
    cancelling: bool
    attempts: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None
    options: Mapping[str, str]
    files: tuple[JobFile, ...]
    problem: Mapping[str, Any] | None

    @property
    def scores(self) -> tuple[JobFile, ...]:
        """The files asked for: all but the JSON answer."""
        return tuple(file for file in self.files if file.format != "answer")


@dataclass(frozen=True, slots=True)
class JobPage:
    """A part of a list, newest first; `next` is what to go on after, None at the end."""

    jobs: tuple[Job, ...]
    next: str | None


def parse_job(value: Any) -> Job:
    """Make the typed value of a job's JSON.

    Raises:
        BadAnswerError: when it is not of the documented form.
    """
    try:
        return _job(value)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _bad_answer("a job", error) from error


def parse_page(value: Any) -> JobPage:
    """Make the typed value of a page of `GET /v1/jobs`.

    Raises:
        BadAnswerError: when it is not of the documented form.
    """
    try:
        after = value["next"]
        return JobPage(tuple(map(_job, value["jobs"])), None if after is None else str(after))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _bad_answer("a list of jobs", error) from error


def _job(value: Mapping[str, Any]) -> Job:
    return Job(
        id=str(value["id"]),
        service=Service(value["service"]),
        title=str(value["title"]),
        state=JobState(value["state"]),
        progress=int(value["progress"]),
        message=str(value["message"]),
        cancelling=bool(value["cancelling"]),
        attempts=int(value["attempts"]),
        created_at=datetime.fromisoformat(value["created_at"]),
        started_at=_time(value["started_at"]),
        finished_at=_time(value["finished_at"]),
        expires_at=_time(value["expires_at"]),
        options={str(name): str(text) for name, text in value["options"].items()},
        files=tuple(map(_file, value["files"])),
        problem=value["problem"],
    )


def _file(value: Mapping[str, Any]) -> JobFile:
    return JobFile(
        # It came over the network: its last part alone may say where on this disk to write.
        name=PurePosixPath(str(value["name"])).name,
        format=str(value["format"]),
        media_type=str(value["media_type"]),
        size=int(value["size"]),
        sha256=str(value["sha256"]),
        href=str(value["href"]),
    )


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _bad_answer(what: str, error: Exception) -> BadAnswerError:
    return BadAnswerError(
        f"The service's answer is not {what} ({type(error).__name__}: {error}).",
        remedy="Check that the address is Copyist's and that client and service are of one version.",
    )
