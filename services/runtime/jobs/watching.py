"""Watching jobs: one reader of the database for all who watch, whatever their number."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from services.errors import OverloadedError
from services.runtime.jobs.job import Job


class Watch:
    """One watcher's view of a job; holds its newest state alone, so that a slow watcher costs nothing.

    Attributes:
        job: as it was last seen.
        ended: whether nothing more will be told: the job is forgotten, or the service stops.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.ended = False
        self._news = asyncio.Event()

    async def wait(self, limit_s: float) -> bool:
        """Wait for news; whether there is any within the limit, in seconds."""
        try:
            async with asyncio.timeout(limit_s):
                await self._news.wait()
        except TimeoutError:
            return False
        self._news.clear()
        return True

    def tell(self, job: Job) -> None:
        """Tell how the job is."""
        if job.version > self.job.version:
            self.job = job
            self._news.set()

    def end(self) -> None:
        """Tell that nothing more will come."""
        self.ended = True
        self._news.set()


class Watches:
    """All watchers of one serving process.

    Args:
        limit: how many there may be.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._watches: set[Watch] = set()
        self._stopping = False

    @contextmanager
    def watching(self, job: Job) -> Iterator[Watch]:
        """Watch a job.

        Raises:
            OverloadedError: as many watch as may.
        """
        if len(self._watches) >= self._limit:
            raise OverloadedError(
                f"{self._limit} event streams are open, as many as this process serves "
                "(COPYIST_MAX_EVENT_STREAMS).",
                remedy="Try again in a while, or ask for the job itself now and then.",
            )
        watch = Watch(job)
        watch.ended = self._stopping
        self._watches.add(watch)
        try:
            yield watch
        finally:
            self._watches.discard(watch)

    def watched(self) -> set[str]:
        """List the ids of the jobs watched."""
        return {watch.job.id for watch in self._watches}

    def tell(self, asked: set[str], found: Mapping[str, Job]) -> None:
        """Tell the watchers how their jobs are.

        Args:
            asked: the ids looked for.
            found: the jobs that there are; others are forgotten.
        """
        for watch in list(self._watches):
            job = found.get(watch.job.id)
            if job is not None:
                watch.tell(job)
            elif watch.job.id in asked:
                watch.end()

    def stop(self) -> None:
        """End all watches, and those to come."""
        self._stopping = True
        for watch in self._watches:
            watch.end()
