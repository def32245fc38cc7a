"""What a service has to say about its jobs: the stages, in order, and what each may use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from services.runtime.answers import AnswerFile
from services.runtime.jobs.job import JobState
from services.runtime.settings import Settings


class StageContext(Protocol):
    """A job under way, as one of its stages sees it.

    All calls may be made from the event loop; those that are awaited do their work off it. Cancelling the
    stage (the caller asked for it, or its time is up) ends its work.

    Attributes:
        job_id: the job's id.
        title: what the result's files are called by.
        options: what is asked for.
        request_id: of the request that submitted the job.
        inputs: the uploaded files, in order, as local files to read.
        folder: an empty local folder for this attempt, removed after it.
    """

    job_id: str
    title: str
    options: Mapping[str, str]
    request_id: str
    inputs: Sequence[Path]
    folder: Path

    def report(self, done: float, message: str = "") -> None:
        """Tell how much of this stage is done, 0 to 1; cheap, call it as often as you like."""
        ...

    async def keep(self, name: str, content: bytes) -> None:
        """Keep an intermediate result: later stages, and later attempts at this one, find it by its name."""
        ...

    async def kept(self, name: str) -> bytes | None:
        """Give what was kept by that name; None if nothing was."""
        ...

    async def publish(self, files: Sequence[AnswerFile]) -> None:
        """Make files the job's result, beside those published before; one of the same name is replaced."""
        ...


@dataclass(frozen=True, slots=True)
class Stage:
    """One durable step of a job: once it has ended, it is never run again.

    Attributes:
        state: what the job's state says while it runs.
        share: its part of the job's whole time, roughly; those of all stages add up to 1.
        run: does the work; raises CopyistError for what the caller can mend, or must be told.
    """

    state: JobState
    share: float
    run: Callable[[StageContext], Awaitable[None]]


class JobBackend(Protocol):
    """The inside of a service, as its worker uses it; made within the worker's event loop.

    Attributes:
        stages: what is done with a job, in order.
    """

    settings: Settings
    stages: tuple[Stage, ...]

    async def warm_up(self) -> None:
        """Make ready what the first job should not wait for."""
        ...

    async def check_ready(self) -> None:
        """Raise ModelUnavailableError unless a job could be done now."""
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...
