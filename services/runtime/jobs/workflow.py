"""A job as DBOS runs it: a workflow of one step for each stage.

DBOS records each step that has ended, and a workflow that is begun again after its worker was lost passes
over those. What a step did for the job's record is in the table `jobs` by then.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import CancelledError as FutureCancelledError
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from dbos import DBOS
from dbos._error import DBOSWorkflowConflictIDError

from services.errors import CopyistError, StorageUnavailableError
from services.runtime import logs, problems, tracing
from services.runtime.files import FileStore, job_folder, kept_folder
from services.runtime.jobs import metrics
from services.runtime.jobs.attempts import Attempts, LostAttemptError
from services.runtime.jobs.job import Job, JobState
from services.runtime.jobs.patience import patiently
from services.runtime.jobs.room import Room
from services.runtime.jobs.running import Ending, RunningJob
from services.runtime.jobs.stages import Stage
from services.runtime.settings import Settings
from services.runtime.work import in_thread

log = logging.getLogger("copyist.jobs")
R = TypeVar("R")

#: What a step leaves behind: the state that the job ended in, if it did, and its problem document.
Outcome = Mapping[str, Any]
_GOES_ON: Final[Outcome] = {"state": None}


class JobRunner:
    """Does jobs: DBOS calls it in a thread for each, and their stages run in the worker's event loop.

    Args:
        service: whose jobs.
        stages: what is done with a job, in order.
        settings: how long a job may take.
        files: where inputs and results lie.
        attempts: where jobs are told of.
        scratch: the folder to make local files in.
        threads: in which files and the database are read and written.
    """

    def __init__(
        self,
        service: str,
        stages: Sequence[Stage],
        settings: Settings,
        files: FileStore,
        attempts: Attempts,
        scratch: Path,
        threads: Executor,
    ) -> None:
        self._service = service
        self._stages = stages
        self._settings = settings
        self._files = files
        self._attempts = attempts
        self._scratch = scratch
        self._threads = threads
        self._loop = asyncio.get_running_loop()
        self._room = Room()
        self._lock = threading.Lock()
        self._taken: set[str] = set()
        self.running: dict[str, RunningJob] = {}
        self.stopping = False

    def taken(self) -> frozenset[str]:
        """The jobs that threads of this process have in hand."""
        with self._lock:
            return frozenset(self._taken)

    def run(self, job_id: str) -> None:
        """Do a job to its end; the body of its workflow."""
        with self._lock:
            self._taken.add(job_id)
        try:
            running = self._on_loop(self._begin(job_id))
            if running is not None:
                self._run(running)
        except DBOSWorkflowConflictIDError:
            # DBOS would have this thread wait for the other worker's result.
            raise LostAttemptError from None
        finally:
            with self._lock:
                self._taken.discard(job_id)

    def _run(self, running: RunningJob) -> None:
        submission = running.job.submission
        try:
            with (
                logs.bind(request_id=submission.request_id, job=running.job_id),
                tracing.continue_trace(submission.trace),
                tracing.span("job", {"job": running.job_id}, kind="consumer"),
            ):
                outcome = self._stages_of(running)
                self._on_loop(self._end(running, outcome))
        finally:
            self._on_loop(self._leave(running))

    def _stages_of(self, running: RunningJob) -> Outcome:
        deadline = self._loop.time() + self._settings.max_job_s
        base = 0.0
        for stage in self._stages:
            step = partial(self._step, running, stage, base, deadline)
            try:
                outcome: Outcome = DBOS.run_step({"name": stage.state.value}, step)
            except Exception:
                log.exception("the stage %s of a job could not be recorded", stage.state.value)
                return self._failed(running, problems.unexpected(running.request_id))
            log.info("stage ended", extra=_which(running, stage))
            if outcome["state"] is not None:
                return outcome
            base += stage.share
        return {"state": JobState.COMPLETED.value, "problem": None}

    def _step(self, running: RunningJob, stage: Stage, base: float, deadline: float) -> Outcome:
        """Run a stage; what comes back is recorded by DBOS, and the stage never run again."""
        began = time.perf_counter()
        log.info("stage began", extra=_which(running, stage))
        with tracing.span(stage.state.value):
            outcome = self._on_loop(self._stage(running, stage, base, deadline))
        metrics.STAGE_SECONDS.labels(self._service, stage.state.value).observe(time.perf_counter() - began)
        return outcome

    async def _begin(self, job_id: str) -> RunningJob | None:
        alone = await self._telling(lambda: self._attempts.is_suspect(job_id))
        await self._room.enter(alone=alone)
        try:
            if self.stopping:
                raise LostAttemptError
            job = await self._telling(lambda: self._attempts.begin(job_id))
            if job is not None:
                running = RunningJob(job, self._scratch, self._files, self._attempts, self._threads)
                self.running[job_id] = running
                metrics.UNDER_WAY.labels(self._service).inc()
                self._count_wait(job)
                return running
        except BaseException:
            await self._room.leave()
            raise
        await self._room.leave()
        return None

    def _count_wait(self, job: Job) -> None:
        """Count how long a job has waited, when it is begun for the first time."""
        if job.attempts == 1 and job.started_at is not None:
            waited_s = (job.started_at - job.created_at).total_seconds()
            # Two machines' clocks: a little less than nothing is nothing.
            metrics.STAGE_SECONDS.labels(self._service, JobState.QUEUED.value).observe(max(waited_s, 0.0))

    async def _leave(self, running: RunningJob) -> None:
        del self.running[running.job_id]
        metrics.UNDER_WAY.labels(self._service).dec()
        await running.close()
        await self._room.leave()

    async def _stage(self, running: RunningJob, stage: Stage, base: float, deadline: float) -> Outcome:
        try:
            job, percent = running.job, int(100 * base)
            await self._telling(lambda: self._attempts.stage_begins(job, stage.state, percent))
            await running.run(stage, base, deadline)
            await self._telling(lambda: self._attempts.stage_ended(job))
            return _GOES_ON
        except asyncio.CancelledError:
            if running.ending is not Ending.CANCELLED:
                raise LostAttemptError from None
            return {"state": JobState.CANCELLED.value, "problem": None}
        except TimeoutError:
            return self._failed(running, self._too_slow())
        except CopyistError as error:
            return self._failed(running, error)
        except Exception:
            log.exception("the stage %s of a job failed unexpectedly", stage.state.value)
            return self._failed(running, problems.unexpected(running.request_id))

    async def _end(self, running: RunningJob, outcome: Outcome) -> None:
        state = JobState(outcome["state"])
        await self._telling(lambda: self._attempts.end(running.job, state, outcome["problem"]))
        metrics.FINISHED.labels(self._service, state.value).inc()
        # Of no use to anybody now. Where it does not work, it goes when the job expires.
        with suppress(StorageUnavailableError):
            await in_thread(self._threads, partial(self._files.remove_tree, kept_folder(running.job_id)))
            await in_thread(self._threads, partial(self._files.remove_unfinished, job_folder(running.job_id)))
        log.info("job ended: %s", state.value, extra=logs.fields(attempts=running.job.attempts))

    def _failed(self, running: RunningJob, error: CopyistError) -> Outcome:
        return {
            "state": JobState.FAILED.value,
            "problem": problems.document(error, running.request_id),
        }

    def _too_slow(self) -> CopyistError:
        return problems.TimedOutError(
            f"The job took longer than {self._settings.max_job_s} s (COPYIST_MAX_JOB_S).",
            remedy="Submit a shorter recording, or fewer pages.",
        )

    async def _telling(self, work: Any) -> Any:
        return await patiently(lambda: in_thread(self._threads, work))

    def _on_loop(self, work: Coroutine[Any, Any, R]) -> R:
        """Wait, in DBOS's thread, for work in the worker's event loop."""
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result()
        except (FutureCancelledError, RuntimeError) as error:
            if self.stopping:
                # The loop has gone; the job was handed back.
                raise LostAttemptError from None
            raise error from None


def _which(running: RunningJob, stage: Stage) -> dict[str, Any]:
    return logs.fields(stage=stage.state.value, attempt=running.job.attempts)
