"""The desk of jobs: what a serving process asks of the database and the storage, off its event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import BinaryIO, Final, TypeVar

from services.errors import CopyistError, DatabaseUnavailableError, OverloadedError
from services.runtime.database import Database, connect
from services.runtime.files import FileStore, file_path, input_path, job_folder
from services.runtime.jobs import gauges
from services.runtime.jobs.followers import Followers
from services.runtime.jobs.job import Job, JobFile, JobState, Submission
from services.runtime.jobs.orders import Order, described, same, submission_of
from services.runtime.jobs.store import JobPage, JobStore
from services.runtime.migrations import SchemaError, prepare
from services.runtime.problems import NotFoundError
from services.runtime.settings import Settings
from services.runtime.work import in_thread

R = TypeVar("R")

log = logging.getLogger("copyist.jobs")

#: Seconds between two looks at the jobs that are watched: workers write their progress as often.
WATCH_S: Final = 0.5
#: Seconds between two counts of all jobs.
COUNT_S: Final = 5.0
#: Submissions taken in at once by one process; each may hold 1 MB of memory, and its upload on disk.
_INTAKES: Final = 64
#: Threads that speak with the database, and that move files; more calls wait for them.
_DATABASE_THREADS: Final = 4
_FILE_THREADS: Final = 8


class JobDesk:
    """Jobs of one service, for one serving process; made and used within its event loop.

    The database is first asked when it is first needed: a service that is never sent a job, or whose
    database is away, serves everything else.

    Args:
        service: whose jobs, such as `amt`.
        settings: where they are kept, and the limits.
    """

    def __init__(self, service: str, settings: Settings) -> None:
        self.service = service
        self.settings = settings
        self.followers = Followers(settings.max_event_streams)
        self._files = FileStore(settings.files_url)
        self._for_database = ThreadPoolExecutor(_DATABASE_THREADS, "jobs-database")
        self._for_files = ThreadPoolExecutor(_FILE_THREADS, "jobs-files")
        self._connecting = threading.Lock()
        self._connected: tuple[Database, JobStore] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._intakes = 0

    def start(self) -> None:
        """Begin to look at jobs now and then, for those who watch them and for Prometheus."""
        self._looking = asyncio.create_task(self._look_on())

    def end_streams(self) -> None:
        """End all event streams: the service is about to stop, and will wait for them."""
        self.followers.stop()

    async def close(self) -> None:
        """Let go of everything."""
        self.end_streams()
        if self._looking is not None:
            self._looking.cancel()
            with suppress(asyncio.CancelledError):
                await self._looking
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._for_database.shutdown()
        self._for_files.shutdown()
        if self._connected is not None:
            database, store = self._connected
            store.close()
            database.close()

    @contextmanager
    def intake(self) -> Iterator[None]:
        """Hold a place for one who submits, from before the upload is read until it is stored.

        Raises:
            OverloadedError: as many are at it as may be.
        """
        if self._intakes >= _INTAKES:
            raise OverloadedError(
                f"{_INTAKES} submissions are being taken in, as many as this process takes at once.",
                remedy="Try again in a moment.",
                retry_after_s=1,
            )
        self._intakes += 1
        try:
            yield
        finally:
            self._intakes -= 1

    async def submit(self, order: Order) -> tuple[Job, bool]:
        """Take in a job, its files first; a job of the same key or content is given instead.

        Returns:
            The job, and whether it is new. Whatever goes wrong, no file is left behind.

        Raises:
            IdempotencyConflictError: the caller's key stands for another submission.
            OverloadedError: there are as many unfinished jobs as there may be.
        """
        inputs = await in_thread(self._for_files, lambda: tuple(map(described, order.files)))
        submission = submission_of(order, self.service, inputs)
        known = await self._ask(lambda store: store.find_by_key(self.service, order.owner, submission.key))
        if known is not None:
            return same(known, submission), False
        return await self._take_in(submission, order.files)

    async def _take_in(self, submission: Submission, files: Sequence[BinaryIO]) -> tuple[Job, bool]:
        taken_in = False

        def submit(store: JobStore) -> tuple[Job, bool]:
            nonlocal taken_in
            job, taken_in = store.submit(submission)
            return job, taken_in

        try:
            await in_thread(self._for_files, lambda: self._write(submission, files))
            job, created = await self._ask(submit)
        except BaseException:
            if not taken_in:  # else the caller has left, or the time was up, a moment after
                await self._clear_away(submission.id)
            raise
        if created:
            return job, True
        await self._remove(submission.id)
        return same(job, submission), False

    async def _clear_away(self, job_id: str) -> None:
        """Remove the files of a submission that failed, unless it is a job: only the answer may be lost."""
        try:
            known = await self._ask(lambda store: store.many([job_id]))
        except CopyistError as error:
            log.warning("files of submission %s stay until they are swept: %s", job_id, error)
            return
        if not known:
            await self._remove(job_id)

    def _write(self, submission: Submission, files: Sequence[BinaryIO]) -> None:
        for number, (file, given) in enumerate(zip(files, submission.inputs, strict=True)):
            file.seek(0)
            written = self._files.write(input_path(submission.id, number), file)
            if (written.size, written.sha256) != (given.size, given.sha256):
                raise CopyistError("The storage of files took in something else than was sent.")

    async def _remove(self, job_id: str) -> None:
        try:
            await in_thread(self._for_files, lambda: self._files.remove_tree(job_folder(job_id)))
        except CopyistError as error:
            log.warning("files of job %s stay until they are swept: %s", job_id, error)

    async def find(self, owner: str, job_id: str) -> Job:
        """Give a job of an owner.

        Raises:
            JobNotFoundError: the owner has none of that id.
        """
        return await self._ask(lambda store: store.find(self.service, owner, job_id))

    async def list(self, owner: str, states: Collection[JobState], limit: int, after: str | None) -> JobPage:
        """List an owner's jobs, newest first; see `JobStore.list`."""
        return await self._ask(lambda store: store.list(self.service, owner, states, limit, after))

    async def cancel(self, owner: str, job_id: str) -> Job:
        """Cancel a job; a finished one stays as it is.

        Raises:
            JobNotFoundError: the owner has none of that id.
        """
        return await self._ask(lambda store: store.cancel(self.service, owner, job_id))

    async def forget(self, owner: str, job_id: str) -> None:
        """Remove a finished job and its files.

        Raises:
            JobNotFoundError: the owner has no finished job of that id.
        """
        await in_thread(self._for_files, lambda: self._files.remove_tree(job_folder(job_id)))
        await self._ask(lambda store: store.forget(self.service, owner, job_id))

    async def read(self, job_id: str, file: JobFile, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """Read a job's file from `start` up to, not including, `end`, in blocks.

        Raises:
            NotFoundError: the job has just been removed, or its file was lost.
        """
        path = file_path(job_id, file.sha256)
        try:
            blocks = await in_thread(self._for_files, lambda: self._files.read_range(path, start, end))
        except FileNotFoundError:
            raise NotFoundError(
                "The file is gone: its job was removed.", remedy="Submit the job again."
            ) from None
        while block := await in_thread(self._for_files, lambda: next(blocks, b"")):
            yield block

    async def _ask(self, question: Callable[[JobStore], R]) -> R:
        return await in_thread(self._for_database, lambda: question(self._store()))

    def _store(self) -> JobStore:
        with self._connecting:
            if self._connected is None:
                database = connect(self.settings.database_url)
                try:
                    prepare(database)
                    self._connected = database, JobStore(database, self.settings)
                except SchemaError as error:
                    database.close()
                    # Whoever calls can do nothing about it but come again; the operator's log tells more.
                    raise DatabaseUnavailableError(error.detail, remedy=error.remedy) from error
                except BaseException:
                    database.close()
                    raise
            return self._connected[1]

    async def _look_on(self) -> None:
        """Look at the jobs for as long as the service runs; what goes wrong is told once, and tried again."""
        failing = False
        counted_at = -COUNT_S
        while True:
            try:
                if time.monotonic() - counted_at >= COUNT_S:
                    counted_at = time.monotonic()
                    gauges.tell(self.service, await self._ask(lambda store: store.counts(self.service)))
                if followed := self.followers.followed():
                    self.followers.tell(followed, await self._ask(lambda store: store.many(followed)))
                failing = False
            except Exception as error:
                if not failing:
                    known = isinstance(error, CopyistError)
                    log.warning("jobs cannot be looked at: %s", error, exc_info=not known)
                failing = True
            await asyncio.sleep(WATCH_S)
