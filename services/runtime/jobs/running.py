"""A job under way in this worker, as its stages see it."""

from __future__ import annotations

import asyncio
import hashlib
import io
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from enum import Enum, auto
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from services.errors import CopyistError, StorageUnavailableError
from services.runtime.answers import AnswerFile
from services.runtime.files import (
    FileStore,
    StorageFullError,
    file_path,
    input_path,
    is_full,
    kept_path,
    storage_errors,
)
from services.runtime.jobs.attempts import Attempts, Progress
from services.runtime.jobs.job import Job, JobFile
from services.runtime.jobs.patience import patience_s, patiently
from services.runtime.jobs.stages import Stage
from services.runtime.work import in_thread

R = TypeVar("R")

_LONGEST_MESSAGE: Final = 200
#: What is left for the last word: a job is at 100 when it has completed.
_HIGHEST_PERCENT: Final = 99


class DamagedFileError(CopyistError):
    """A file is not what was uploaded."""

    slug = "damaged-file"
    title = "A stored file is damaged"


class Ending(Enum):
    """Why a stage was ended from outside."""

    CANCELLED = auto()  # its owner asked for it
    LOST = auto()  # another worker has the job
    HANDED_BACK = auto()  # this worker stops


class RunningJob:
    """One attempt at a job. It is a StageContext; made and used within the worker's event loop.

    Args:
        job: as it was when the attempt began.
        scratch: the folder to make local files in.
        files: where inputs and results lie.
        attempts: where it is told of.
        threads: in which files and the database are read and written.
    """

    def __init__(
        self, job: Job, scratch: Path, files: FileStore, attempts: Attempts, threads: Executor
    ) -> None:
        self.job = job
        self.job_id = job.id
        self.title = job.submission.title
        self.options = job.submission.options
        self.request_id = job.submission.request_id
        self.inputs: Sequence[Path] = ()
        self.ending: Ending | None = None
        self._scratch = scratch
        self._files = files
        self._attempts = attempts
        self._threads = threads
        self._task: asyncio.Task[None] | None = None
        self._told = (job.progress_percent, "")
        self._percent, self._message = self._told
        self._base, self._share = 0.0, 1.0
        self._made_folder = False

    async def run(self, stage: Stage, base: float, deadline: float) -> None:
        """Run a stage to its end.

        Args:
            stage: what to run.
            base: how much of the job's whole time lies before it, 0 to 1.
            deadline: when it must have ended, by the event loop's clock.

        Raises:
            TimeoutError: it had not ended by then.
            CancelledError: it was ended from outside; `ending` tells why.
        """
        self._base, self._share = base, stage.share
        # As it was told when the stage began; what the stage before said last is not to come after that.
        self._told = (max(self._percent, int(100 * base)), "")
        self._percent, self._message = self._told
        self._task = asyncio.create_task(self._patiently(stage))
        try:
            if self.ending is not None:
                self._task.cancel()
            done, _ = await asyncio.wait((self._task,), timeout=deadline - asyncio.get_running_loop().time())
            if not done:
                self._task.cancel()
                await asyncio.wait((self._task,))
                raise TimeoutError
            self._task.result()
        finally:
            self._task = None

    def stop(self, ending: Ending) -> None:
        """End the stage that runs, and with it the attempt."""
        if self.ending is None:
            self.ending = ending
            if self._task is not None:
                self._task.cancel()

    def untold(self) -> Progress | None:
        """Give what there is to tell since the last time; None when there is nothing."""
        if self._told == (self._percent, self._message):
            return None
        self._told = (self._percent, self._message)
        return Progress(self.job_id, self.job.attempts, *self._told)

    async def close(self) -> None:
        """Remove the local files."""
        if self._made_folder:
            await in_thread(self._threads, partial(shutil.rmtree, self.folder, ignore_errors=True))

    def report(self, done: float, message: str = "") -> None:
        """See StageContext."""
        percent = int(100 * (self._base + self._share * min(max(done, 0.0), 1.0)))
        self._percent = min(max(self._percent, percent), _HIGHEST_PERCENT)
        self._message = message[:_LONGEST_MESSAGE]

    async def keep(self, name: str, content: bytes) -> None:
        """See StageContext."""
        path = kept_path(self.job_id, name)
        await self._storing(lambda: self._files.write(path, io.BytesIO(content)))

    async def kept(self, name: str) -> bytes | None:
        """See StageContext."""
        try:
            return await self._storing(lambda: self._files.read(kept_path(self.job_id, name)))
        except FileNotFoundError:
            return None

    async def publish(self, files: Sequence[AnswerFile]) -> None:
        """See StageContext."""
        made = [await self._storing(partial(self._store, file)) for file in files]
        await self.telling(lambda: self._attempts.publish(self.job, made))

    async def telling(self, work: Callable[[], R]) -> R:
        """Do work of the database in a thread; while the database is away, it is waited for."""
        return await patiently(lambda: in_thread(self._threads, work))

    async def _storing(self, work: Callable[[], R]) -> R:
        return await patiently(lambda: in_thread(self._threads, work), waits=self._tell_of)

    async def _prepare(self) -> None:
        """Fetch the inputs, unless an earlier stage of this attempt has."""
        if not self._made_folder:
            with storage_errors():
                self.folder = Path(tempfile.mkdtemp(prefix=f"{self.job_id}-", dir=self._scratch))
            self._made_folder = True
            self.inputs = await self._storing(self._fetch)

    async def _patiently(self, stage: Stage) -> None:
        async def run() -> None:
            try:
                await stage.run(self)
            except (OSError, CopyistError) as error:
                # A full local disk is told as such, whatever error it came to.
                if is_full(error) and not isinstance(error, StorageFullError):
                    raise StorageFullError("There is no room for the files of a job.") from error
                raise

        await self._prepare()
        await patiently(run, limit_s=_stage_patience_s, waits=self._tell_of)

    def _tell_of(self, error: Exception) -> None:
        what = error.detail if isinstance(error, CopyistError) else "Something is away."
        self._message = f"waits: {what}"[:_LONGEST_MESSAGE]

    def _fetch(self) -> tuple[Path, ...]:
        paths = []
        for number, expected in enumerate(self.job.submission.inputs):
            path = self.folder / f"input-{number}"
            fetched = self._files.fetch(input_path(self.job_id, number), path)
            if fetched.sha256 != expected.sha256:
                raise DamagedFileError(
                    "What lies in the storage is not what was uploaded.", remedy="Submit the job again."
                )
            paths.append(path)
        return tuple(paths)

    def _store(self, file: AnswerFile) -> JobFile:
        sha256 = hashlib.sha256(file.content).hexdigest()
        self._files.write(file_path(self.job_id, sha256), io.BytesIO(file.content))
        return JobFile(file.name, file.format, file.media_type, len(file.content), sha256)


def _stage_patience_s(error: BaseException) -> float:
    """What is read and written was tried again already where it failed, without losing the stage's work."""
    return 0.0 if isinstance(error, StorageUnavailableError) else patience_s(error)
