"""What a worker looks after at all times: that it is seen to live, and what is asked of its jobs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import Final

from services.errors import DatabaseUnavailableError
from services.runtime.jobs.attempts import Attempts
from services.runtime.jobs.running import Ending, RunningJob
from services.runtime.jobs.takeover import Pulse, Takeover, WorkerReplacedError
from services.runtime.rounds import Rounds
from services.runtime.work import in_thread

log = logging.getLogger("copyist.jobs")

#: Seconds between two signs of life, at most.
_LONGEST_BEAT_S: Final = 2.0
#: Progress is written twice a second at most, for each job.
_TELLING_S: Final = 0.5
#: Seconds without a look at the database, or a failure of it, after which the process hangs.
_HUNG_S: Final = 180.0


class Heart(Rounds):
    """A thread that gives signs of life and watches those of others, whatever the event loop is doing.

    Args:
        pulse: gives the signs.
        takeover: is shown those of all.
        lost_s: seconds after which a silent worker is lost.
        replaced: called, in the thread, when another process has taken this worker's name.
    """

    def __init__(self, pulse: Pulse, takeover: Takeover, lost_s: float, replaced: Callable[[], None]) -> None:
        super().__init__("heart", every_s=min(_LONGEST_BEAT_S, lost_s / 5), hung_s=_HUNG_S)
        self._pulse = pulse
        self._takeover = takeover
        self._replaced = replaced

    def round(self) -> None:
        """Give a sign of life, and look at those of others."""
        try:
            self._pulse.beat()
            self._takeover.look(self._pulse.beats(), time.monotonic())
        except WorkerReplacedError as error:
            log.critical("%s", error)
            self.finish()
            self._replaced()


async def look_after(running: dict[str, RunningJob], attempts: Attempts, threads: Executor) -> None:
    """Tell of the progress of jobs, and end those that were cancelled or lost; until cancelled itself.

    Args:
        running: the jobs under way.
        attempts: where they are told of.
        threads: in which the database is read and written.
    """
    while True:
        await asyncio.sleep(_TELLING_S)
        jobs = tuple(running.values())
        if not jobs:
            continue
        try:
            told = [progress for job in jobs if (progress := job.untold()) is not None]
            if told:
                await in_thread(threads, partial(attempts.tell, told))
            watched = await in_thread(threads, partial(attempts.watched, [job.job_id for job in jobs]))
        except DatabaseUnavailableError:
            continue
        for job in jobs:
            now = watched.get(job.job_id)
            if now is None or now.finished or now.attempt != job.job.attempts:
                job.stop(Ending.LOST)
            elif now.cancelling:
                job.stop(Ending.CANCELLED)
