"""Jobs in a caller's hand: `JobHandle` for plain code, `AsyncJobHandle` for asyncio."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol, TypeVar

from services.client.errors import BadAnswerError
from services.client.exchange import Exchange
from services.client.job_exchange import JobRequests, joined_answer
from services.client.jobs import Job, JobFile, Service
from services.client.pages import Recognition, parse_recognition
from services.client.results import Transcription, parse_transcription
from services.errors import InputError

T = TypeVar("T")


class Run(Protocol):
    """Has an exchange with the service."""

    def __call__(self, exchange: Exchange[T]) -> T:
        """Give its result."""
        ...


class AsyncRun(Protocol):
    """The same for asyncio."""

    def __call__(self, exchange: Exchange[T]) -> Awaitable[T]:
        """Give its result."""
        ...


class JobHandle:
    """A submitted job.

    Attributes:
        job: as it was last heard of.
    """

    def __init__(self, run: Run, requests: JobRequests, job: Job) -> None:
        """Made by `Copyist.submit` and `Copyist.job`."""
        self._run = run
        self._requests = requests
        self.job = job

    @property
    def id(self) -> str:
        """The job's id, by which `Copyist.job` finds it again."""
        return self.job.id

    def refresh(self) -> Job:
        """Ask how the job is.

        Raises:
            CopyistError: when there is no such job any more, or no answer.
        """
        self.job = self._run(self._requests.show(self.job.service, self.job.id))
        return self.job

    def wait(self, on_change: Callable[[Job], None] | None = None) -> Job:
        """Wait until the job is completed, over broken connections and restarts of the service.

        Args:
            on_change: told of the job with every change, in the calling thread.

        Raises:
            CopyistError: why the job failed; `JobCancelledError` if it was cancelled; `UnreachableError` if
                the service stays away for a minute or so. The job itself goes on.
        """
        self._run(self._requests.wait(self.job, self._heard(on_change)))
        return self.job

    def _heard(self, on_change: Callable[[Job], None] | None) -> Callable[[Job], None]:
        def heard(job: Job) -> None:
            self.job = job
            if on_change is not None:
                on_change(job)

        return heard

    def download(self, directory: str | Path, *, stem: str | None = None) -> tuple[Path, ...]:
        """Write the files of a completed job into a folder, each whole or not at all.

        A download that broke off goes on where it stopped, also after a restart of the program.

        Args:
            directory: where to; made if missing.
            stem: the names without suffix; by default the upload's own.

        Returns:
            The paths written, in the order of `job.scores`.

        Raises:
            CopyistError: when a file cannot be had.
            OSError: when something cannot be written.
        """
        return tuple(
            self._run(self._requests.download(self.job, file, target))
            for file, target in targets(self.job, Path(directory), stem)
        )

    def result(self) -> Transcription | Recognition:
        """Give what a completed job found, as `transcribe` or `recognize` would have, with its files.

        Raises:
            CopyistError: when it cannot be had.
        """
        contents = {file.name: self._run(self._requests.read(self.job, file)) for file in self.job.files}
        return parse_result(self.job, contents)

    def cancel(self) -> Job:
        """Have the job cancelled; one that is finished stays as it is.

        Raises:
            CopyistError: when there is no such job any more, or no answer.
        """
        self.job = self._run(self._requests.cancel(self.job))
        return self.job

    def remove(self) -> None:
        """Have a finished job forgotten, with its files; they would be, some days later.

        Raises:
            CopyistError: when there is no such job any more, or no answer.
        """
        self._run(self._requests.remove(self.job))


class AsyncJobHandle:
    """The same for asyncio."""

    def __init__(self, run: AsyncRun, requests: JobRequests, job: Job) -> None:
        """Made by `AsyncCopyist.submit` and `AsyncCopyist.job`."""
        self._run = run
        self._requests = requests
        self.job = job

    @property
    def id(self) -> str:
        """The job's id, by which `AsyncCopyist.job` finds it again."""
        return self.job.id

    async def refresh(self) -> Job:
        """As `JobHandle.refresh`."""
        self.job = await self._run(self._requests.show(self.job.service, self.job.id))
        return self.job

    async def wait(self, on_change: Callable[[Job], None] | None = None) -> Job:
        """As `JobHandle.wait`; `on_change` is called on the event loop."""

        def heard(job: Job) -> None:
            self.job = job
            if on_change is not None:
                on_change(job)

        await self._run(self._requests.wait(self.job, heard))
        return self.job

    async def download(self, directory: str | Path, *, stem: str | None = None) -> tuple[Path, ...]:
        """As `JobHandle.download`."""
        written = []
        for file, target in targets(self.job, Path(directory), stem):
            written.append(await self._run(self._requests.download(self.job, file, target)))
        return tuple(written)

    async def result(self) -> Transcription | Recognition:
        """As `JobHandle.result`."""
        contents = {}
        for file in self.job.files:
            contents[file.name] = await self._run(self._requests.read(self.job, file))
        return parse_result(self.job, contents)

    async def cancel(self) -> Job:
        """As `JobHandle.cancel`."""
        self.job = await self._run(self._requests.cancel(self.job))
        return self.job

    async def remove(self) -> None:
        """As `JobHandle.remove`."""
        await self._run(self._requests.remove(self.job))


def targets(job: Job, directory: Path, stem: str | None) -> list[tuple[JobFile, Path]]:
    """Where each of a job's files is written."""
    return [(file, directory / (f"{stem}{file.suffix}" if stem else file.name)) for file in job.scores]


def parse_result(job: Job, contents: dict[str, bytes]) -> Transcription | Recognition:
    """Make the typed value of a job's JSON answer and its files.

    Raises:
        InputError: the job has no answer: it is not completed.
        BadAnswerError: the answer is not of the documented form.
    """
    answers = [file.name for file in job.files if file.format == "answer"]
    if not answers:
        raise InputError(
            f"The job {job.id} has no answer: it is {job.state.value}.", remedy="Wait until it is completed."
        )
    uris = {name: f"data:;base64,{base64.b64encode(content).decode()}" for name, content in contents.items()}
    try:
        answer = joined_answer(json.loads(contents[answers[0]]), uris)
    except (ValueError, KeyError, TypeError) as error:
        raise BadAnswerError(
            f"The job's answer cannot be read ({type(error).__name__}: {error}).",
            remedy="Check that client and service are of one version.",
        ) from error
    return parse_recognition(answer) if job.service is Service.PAGES else parse_transcription(answer)
