"""Many files at once: which there are, what is to be written for each, and getting it done."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from services.client.async_client import AsyncCopyist
from services.client.errors import UnreachableError
from services.client.progress import Progress
from services.client.results import Answer
from services.errors import CopyistError, InputError


@dataclass(frozen=True, slots=True)
class Job:
    """A file, or several that make one piece, and where the results go.

    Attributes:
        sources: the files, in order.
        stem: the path of each result without its suffix.
    """

    sources: tuple[Path, ...]
    stem: Path

    @property
    def source(self) -> Path:
        """The first file, after which the results are named."""
        return self.sources[0]

    def outputs(self, suffixes: Iterable[str]) -> tuple[Path, ...]:
        """The files that will be written, in the order of their suffixes."""
        return tuple(self.stem.with_name(self.stem.name + suffix) for suffix in suffixes)


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that could not be written down, and why, with what to do."""

    source: Path
    reason: str


class Watcher(Protocol):
    """Who is told how a batch is getting on."""

    def started(self, job: Job) -> None:
        """A job's turn has come."""

    def progressed(self, job: Job, progress: Progress) -> None:
        """More of it was sent."""

    def done(self, job: Job, answer: Answer, written: Sequence[Path]) -> None:
        """Its files are written."""

    def failed(self, failure: Failure) -> None:
        """It cannot be written down, or its files not written."""


#: Asks the service for one job, and tells how far the upload is.
Ask = Callable[[AsyncCopyist, Job, Callable[[Progress], None]], Awaitable[Answer]]


def merged(jobs: Sequence[Job]) -> list[Job]:
    """Make one job of all: the files, in order, are one piece."""
    return [Job(tuple(source for job in jobs for source in job.sources), jobs[0].stem)] if jobs else []


def plan(
    arguments: Iterable[str], directory: Path, suffixes: Collection[str]
) -> tuple[list[Job], list[Failure]]:
    """Find the files that the arguments mean, and where the results of each go.

    An argument is a file, a folder (every file under it with one of the suffixes, hidden ones left out; the
    folders under it are made again under `directory`), or a pattern such as `*.flac` that no shell has
    expanded.

    Args:
        arguments: as typed.
        directory: where the results go.
        suffixes: what a folder is searched for.

    Returns:
        The jobs in order, each file once, and a failure for each argument that means nothing.
    """
    jobs: dict[Path, Job] = {}
    failures = []
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            under = _files_under(path, suffixes)
            found = [Job((file,), directory / file.relative_to(path)) for file in under]
            if not found:
                known = " ".join(sorted(suffixes))
                failures.append(Failure(path, f"Nothing to read is in this folder (looked for {known})."))
        else:
            matches = (
                [path]
                if path.exists()
                else sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
            )
            found = [Job((file,), directory / file.name) for file in matches]
            if not found:
                failures.append(Failure(path, "There is no such file. Check the path."))
        for job in found:
            named = replace(job, stem=job.stem.with_name(job.source.stem))
            jobs.setdefault(job.source.resolve(), named)
    return list(jobs.values()), failures


def check_clashes(jobs: Sequence[Job], suffixes: Sequence[str]) -> None:
    """Make sure that no file would be written twice, nor over one that is read.

    Raises:
        InputError: naming the files concerned.
    """
    sources = {source.resolve() for job in jobs for source in job.sources}
    by_output: dict[Path, Job] = {}
    for job in jobs:
        for output in job.outputs(suffixes):
            if output.resolve() in sources:
                raise InputError(
                    f"{output} would be written over a file that is to be read.",
                    remedy="Write into another folder (-o).",
                )
            other = by_output.setdefault(output.resolve(), job)
            if other is not job:
                raise InputError(
                    f"{other.source} and {job.source} would both be written to {output}.",
                    remedy="Rename one of them, or write them into different folders (-o).",
                )


async def write_down_all(
    client: AsyncCopyist, jobs: Sequence[Job], ask: Ask, *, at_once: int, watcher: Watcher
) -> int:
    """Have jobs written down, several at a time; one that fails does not keep the others from it.

    Args:
        client: who asks the service.
        jobs: what to write down.
        ask: asks the service for one of them.
        at_once: how many are under way at the same time.
        watcher: is told everything.

    Returns:
        How many failed.
    """
    batch = _Batch(client, ask, watcher)
    waiting = iter(jobs)
    async with asyncio.TaskGroup() as group:
        for _ in range(min(at_once, len(jobs))):
            group.create_task(batch.work(waiting))
    return batch.failed


@dataclass(slots=True)
class _Batch:
    """A batch under way.

    Attributes:
        failed: how many jobs failed so far.
        gone: why the service cannot be reached any more; the jobs left are then not waited for.
    """

    client: AsyncCopyist
    ask: Ask
    watcher: Watcher
    failed: int = 0
    gone: CopyistError | None = None

    async def work(self, waiting: Iterator[Job]) -> None:
        """Write down what waits, one after another; several may do so at once."""
        for job in waiting:
            if self.gone is not None:
                self._fail(job, str(self.gone))
            else:
                await self._write_down(job)

    async def _write_down(self, job: Job) -> None:
        self.watcher.started(job)
        try:
            answer = await self.ask(self.client, job, lambda progress: self.watcher.progressed(job, progress))
            written = answer.save(job.stem.parent, stem=job.stem.name)
        except CopyistError as error:
            self._fail(job, str(error))
            if isinstance(error, UnreachableError):
                await self._look_for_the_service()
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            self._fail(job, f"{error.strerror or error}{where}.")
        else:
            self.watcher.done(job, answer, written)

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


def _files_under(directory: Path, suffixes: Collection[str]) -> Iterator[Path]:
    """Every file with one of the suffixes in a folder and below; links to folders are not followed."""
    for where, folders, files in os.walk(directory):
        folders[:] = sorted(folder for folder in folders if not folder.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in suffixes:
                yield Path(where, name)
