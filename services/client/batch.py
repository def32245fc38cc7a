"""Many recordings at once: which there are, what is to be written for each, and getting it done."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from services.client.client import AsyncCopyist, Progress
from services.client.errors import UnreachableError
from services.client.exchange import Options
from services.client.results import Transcription
from services.errors import CopyistError, InputError

#: What a folder is searched for; a file named outright may have any name.
AUDIO_SUFFIXES: Final = frozenset(
    {".aac", ".aif", ".aiff", ".flac", ".m4a", ".mka", ".mp3", ".mp4"}
    | {".oga", ".ogg", ".opus", ".wav", ".wave", ".webm"}
)


@dataclass(frozen=True, slots=True)
class Job:
    """One recording and where its files go: `stem` is the path of each without its suffix."""

    source: Path
    stem: Path

    def outputs(self, suffixes: Iterable[str]) -> tuple[Path, ...]:
        """The files that will be written, in the order of their suffixes."""
        return tuple(self.stem.with_name(self.stem.name + suffix) for suffix in suffixes)


@dataclass(frozen=True, slots=True)
class Failure:
    """A recording that could not be transcribed, and why, with what to do."""

    source: Path
    reason: str


class Watcher(Protocol):
    """Who is told how a batch is getting on."""

    def started(self, job: Job) -> None:
        """A recording's turn has come."""

    def progressed(self, job: Job, progress: Progress) -> None:
        """More of it was sent."""

    def done(self, job: Job, heard: Transcription, written: Sequence[Path]) -> None:
        """Its files are written."""

    def failed(self, failure: Failure) -> None:
        """It cannot be transcribed, or its files not written."""


def plan(arguments: Iterable[str], directory: Path) -> tuple[list[Job], list[Failure]]:
    """Find the recordings that the arguments mean, and where the files of each go.

    An argument is a file, a folder (every audio file under it, hidden ones left out; the folders
    under it are made again under `directory`), or a pattern such as `*.flac` that no shell has expanded.

    Args:
        arguments: as typed.
        directory: where the results go.

    Returns:
        The jobs in order, each recording once, and a failure for each argument that means nothing.
    """
    jobs: dict[Path, Job] = {}
    failures = []
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            found = [Job(file, directory / file.relative_to(path)) for file in _audio_under(path)]
            if not found:
                known = " ".join(sorted(AUDIO_SUFFIXES))
                failures.append(Failure(path, f"No audio file is in this folder (looked for {known})."))
        else:
            matches = (
                [path]
                if path.exists()
                else sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
            )
            found = [Job(file, directory / file.name) for file in matches]
            if not found:
                failures.append(Failure(path, "There is no such file. Check the path."))
        for job in found:
            named = replace(job, stem=job.stem.with_name(job.source.stem))
            jobs.setdefault(job.source.resolve(), named)
    return list(jobs.values()), failures


def check_clashes(jobs: Sequence[Job], suffixes: Sequence[str]) -> None:
    """Make sure that no file would be written twice, nor over a recording.

    Raises:
        InputError: naming the files concerned.
    """
    sources = {job.source.resolve() for job in jobs}
    by_output: dict[Path, Job] = {}
    for job in jobs:
        for output in job.outputs(suffixes):
            if output.resolve() in sources:
                raise InputError(
                    f"{output} would be written over a recording.",
                    remedy="Write into another folder (-o).",
                )
            other = by_output.setdefault(output.resolve(), job)
            if other is not job:
                raise InputError(
                    f"{other.source} and {job.source} would both be written to {output}.",
                    remedy="Rename one of them, or transcribe them into different folders (-o).",
                )


async def transcribe_all(
    client: AsyncCopyist, jobs: Sequence[Job], options: Options, *, at_once: int, watcher: Watcher
) -> int:
    """Transcribe recordings, several at a time; one that fails does not keep the others from it.

    Args:
        client: who asks the service.
        jobs: what to transcribe.
        options: for all of them.
        at_once: how many are under way at the same time.
        watcher: is told everything.

    Returns:
        How many failed.
    """
    batch = _Batch(client, options, watcher)
    waiting = iter(jobs)
    async with asyncio.TaskGroup() as group:
        for _ in range(min(at_once, len(jobs))):
            group.create_task(batch.work(waiting))
    return batch.failed


@dataclass(slots=True)
class _Batch:
    """A batch under way.

    Attributes:
        failed: how many recordings failed so far.
        gone: why the service cannot be reached any more; the recordings left are then not waited for.
    """

    client: AsyncCopyist
    options: Options
    watcher: Watcher
    failed: int = 0
    gone: CopyistError | None = None

    async def work(self, waiting: Iterator[Job]) -> None:
        """Transcribe what waits, one after another; several may do so at once."""
        for job in waiting:
            if self.gone is not None:
                self._fail(job, str(self.gone))
            else:
                await self._transcribe(job)

    async def _transcribe(self, job: Job) -> None:
        self.watcher.started(job)
        try:
            heard = await self.client.transcribe(
                job.source,
                instrument=self.options.instrument,
                formats=self.options.formats,
                tempo=self.options.tempo,
                quantise=self.options.quantise,
                on_progress=lambda progress: self.watcher.progressed(job, progress),
            )
            written = heard.save(job.stem.parent, stem=job.stem.name)
        except CopyistError as error:
            self._fail(job, str(error))
            if isinstance(error, UnreachableError):
                await self._look_for_the_service()
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            self._fail(job, f"{error.strerror or error}{where}.")
        else:
            self.watcher.done(job, heard, written)

    def _fail(self, job: Job, reason: str) -> None:
        self.failed += 1
        self.watcher.failed(Failure(job.source, reason))

    async def _look_for_the_service(self) -> None:
        """Tell a service that is gone from one connection that broke."""
        try:
            await self.client.readiness()
        except UnreachableError as error:
            self.gone = error
        except CopyistError:
            pass  # something answers


def _audio_under(directory: Path) -> Iterator[Path]:
    """Every audio file in a folder and below, in order; links to folders are not followed."""
    for where, folders, files in os.walk(directory):
        folders[:] = sorted(folder for folder in folders if not folder.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in AUDIO_SUFFIXES:
                yield Path(where, name)
