"""A worker: a process that does the jobs of one service."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Final

from services.errors import CopyistError, DatabaseUnavailableError, TryAgainError
from services.runtime import logs, tracing
from services.runtime.database import connect
from services.runtime.endpoints import Endpoints
from services.runtime.files import FileStore
from services.runtime.jobs import gauges
from services.runtime.jobs.attempts import Attempts, LostAttemptError
from services.runtime.jobs.durable import Durable
from services.runtime.jobs.expiry import Expiry
from services.runtime.jobs.patience import patiently
from services.runtime.jobs.queue import JobQueue
from services.runtime.jobs.running import Ending, RunningJob
from services.runtime.jobs.scratch import Scratch
from services.runtime.jobs.stages import JobBackend
from services.runtime.jobs.store import JobStore
from services.runtime.jobs.takeover import Pulse, Takeover
from services.runtime.jobs.watch import Heart, look_after
from services.runtime.jobs.webhooks import Webhooks
from services.runtime.jobs.workflow import JobRunner
from services.runtime.migrations import prepare
from services.runtime.settings import Settings
from services.runtime.stopping import told_to_stop

log = logging.getLogger("copyist.jobs")

_COUNTING_S: Final = 10.0
#: Seconds between two sweeps of what has expired; the first comes somewhere within the first minute.
_SWEEPING_S: Final = 600.0
_FIRST_SWEEP_S: Final = 60.0
#: Seconds that stages get to end once they were told to.
_ENDING_S: Final = 10
_LONGEST_ID: Final = 200


def run_worker(
    service: str, backend: Callable[[Settings], JobBackend], settings: Settings, port: int
) -> None:
    """Do a service's jobs until the process is told to end (SIGTERM or SIGINT). Does not return.

    Then no new job is begun, those under way get `drain_s` to end, and the rest waits for other workers.

    Args:
        service: whose jobs, `amt` or `omr`.
        backend: makes the service's inside, within the worker's event loop.
        settings: as the operator has them.
        port: of the worker's own /livez, /readyz and /metrics, on `settings.host`.

    Raises:
        SchemaError: the database must be migrated first.
    """
    logs.configure(settings, f"{service}-worker")
    tracing.configure(settings, f"{service}-worker")
    in_order = asyncio.run(_Worker(service, backend, settings, port).run())
    logging.shutdown()
    sys.stdout.flush()
    # Threads of DBOS that wait for a database, or for a job that another worker has now, would not let go.
    os._exit(0 if in_order else 1)


class _Worker:
    """The parts of a worker, and their life; made outside its event loop."""

    def __init__(
        self, service: str, backend: Callable[[Settings], JobBackend], settings: Settings, port: int
    ) -> None:
        self.service = service
        self.settings = settings
        self.port = port
        name = settings.worker_id or f"{socket.gethostname()}-{os.getpid()}"
        self.id = f"{service}:{name}"[:_LONGEST_ID]
        self.database = connect(settings.database_url)
        self.queue = JobQueue(self.database)
        self.store = JobStore(self.database, settings)
        self.files = FileStore(settings.files_url)
        self.scratch = Scratch()
        self.attempts = Attempts(self.database, self.queue, settings, self.id)
        self.pulse = Pulse(self.database, service, self.id)
        self.threads = ThreadPoolExecutor(4 + 2 * settings.worker_jobs, thread_name_prefix="jobs")
        self.make_backend = backend
        self.backend: JobBackend | None = None
        self.heart: Heart | None = None
        self.replaced = False

    async def run(self) -> bool:
        """Work until told to end; False when another process took this worker's name."""
        self.told_to_end = told_to_stop()
        endpoints = Endpoints(self.settings.host, self.port, self._check_alive, self._check_ready)
        await endpoints.start()
        try:
            starting = asyncio.ensure_future(self._start())
            ending = asyncio.ensure_future(self.told_to_end.wait())
            await asyncio.wait((starting, ending), return_when=asyncio.FIRST_COMPLETED)
            ending.cancel()
            if starting.done():
                await self._work(*starting.result())
            starting.cancel()
        finally:
            await endpoints.stop()
            await asyncio.to_thread(self.scratch.close)
            await asyncio.to_thread(tracing.shutdown)
        return not self.replaced

    async def _start(self) -> tuple[JobRunner, Webhooks]:
        """Wait for the database, and make everything."""
        await self._patiently(lambda: prepare(self.database))
        await self._patiently(self.pulse.begin)
        self.backend = backend = self.make_backend(self.settings)
        runner = JobRunner(
            self.service,
            backend.stages,
            self.settings,
            self.files,
            self.attempts,
            self.scratch.folder,
            self.threads,
        )
        return runner, Webhooks(self.database, self.store, self.queue, self.settings)

    async def _work(self, runner: JobRunner, webhooks: Webhooks) -> None:
        assert self.backend is not None  # noqa: S101 - made by _start
        loop = asyncio.get_running_loop()
        durable = Durable(self.service, self.id, self.settings.worker_jobs, self.database, runner, webhooks)
        takeover = Takeover(
            self.service,
            self.id,
            self.queue,
            self.settings.worker_lost_s,
            lambda: runner.taken() | webhooks.taken(),
        )
        heart = Heart(
            self.pulse,
            takeover,
            self.settings.worker_lost_s,
            lambda: _call_soon(loop, self._was_replaced),
        )
        heart.start()
        await self._patiently(durable.launch)
        self.heart = heart
        expiry = Expiry(self.database, self.store, self.queue, self.attempts, self.files, self.settings)
        chores = [
            asyncio.create_task(chore)
            for chore in (
                self.backend.warm_up(),
                look_after(runner.running, self.attempts, self.threads),
                self._count(),
                self._sweep(expiry),
            )
        ]
        log.info("worker %s takes jobs", self.id)
        await self.told_to_end.wait()
        await self._end(runner, durable)
        heart.stop()
        for chore in chores:
            chore.cancel()
        await self.backend.close()
        with suppress(DatabaseUnavailableError):
            await asyncio.to_thread(self.pulse.end)

    async def _end(self, runner: JobRunner, durable: Durable) -> None:
        """Take no more jobs, let those under way end, and hand back the rest."""
        runner.stopping = True
        limit_s = 0 if self.replaced else self.settings.drain_s
        log.info("worker %s ends: %d jobs under way", self.id, len(runner.running))
        stopped = asyncio.create_task(asyncio.to_thread(durable.stop, limit_s + _ENDING_S))
        await asyncio.wait((stopped,), timeout=limit_s)
        for running in tuple(runner.running.values()):
            with suppress(LostAttemptError, DatabaseUnavailableError):
                if not self.replaced:
                    await asyncio.to_thread(self._hand_back, running)
            running.stop(Ending.HANDED_BACK)
        await asyncio.wait((stopped,), timeout=_ENDING_S)
        with suppress(DatabaseUnavailableError):
            if not self.replaced:
                await asyncio.to_thread(self._put_back_rest)

    def _hand_back(self, running: RunningJob) -> None:
        self.attempts.hand_back(running.job)
        self.queue.put_back(running.job_id, self.id)

    def _put_back_rest(self) -> None:
        """Put back what was taken in the last moment and not begun."""
        for entry in self.queue.taken(self.service):
            self.queue.put_back(entry.workflow_id, self.id)

    def _was_replaced(self) -> None:
        self.replaced = True
        self.told_to_end.set()

    async def _patiently(self, work: Callable[[], None]) -> None:
        await patiently(partial(asyncio.to_thread, work), waits=_log_waiting)

    async def _count(self) -> None:
        while True:
            with suppress(DatabaseUnavailableError):
                gauges.tell(self.service, await asyncio.to_thread(self.store.counts, self.service))
            await asyncio.sleep(_COUNTING_S)

    async def _sweep(self, expiry: Expiry) -> None:
        wait_s = random.uniform(0, _FIRST_SWEEP_S)  # noqa: S311 - no secret
        while True:
            await asyncio.sleep(wait_s)
            try:
                await asyncio.to_thread(expiry.sweep)
            except TryAgainError as error:
                log.warning("the sweep of expired jobs broke off: %s", error)
            except Exception:
                log.exception("the sweep of expired jobs failed")
            wait_s = _SWEEPING_S * random.uniform(0.9, 1.1)  # noqa: S311 - no secret

    def _check_alive(self) -> None:
        if self.heart is not None:
            self.heart.check_alive()

    async def _check_ready(self) -> None:
        if self.heart is None or self.backend is None:
            raise DatabaseUnavailableError("The worker has not reached the database yet.")
        if self.told_to_end.is_set():
            raise TryAgainError("The worker is about to end.")
        self.heart.check()
        await self.backend.check_ready()


def _call_soon(loop: asyncio.AbstractEventLoop, act: Callable[[], None]) -> None:
    loop.call_soon_threadsafe(act)


def _log_waiting(error: Exception) -> None:
    log.warning("waits: %s", error.detail if isinstance(error, CopyistError) else error)
