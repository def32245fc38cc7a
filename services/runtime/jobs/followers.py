"""Who follows jobs: one reader of the database for them all, whatever their number."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from services.errors import OverloadedError
from services.runtime.jobs.job import Job


class Follower:
    """One who follows a job; holds its newest state alone, so that a slow reader costs nothing.

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


class Followers:
    """All who follow jobs in one serving process.

    Args:
        limit: how many there may be.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._followers: set[Follower] = set()
        self._stopping = False

    @contextmanager
    def following(self, job: Job) -> Iterator[Follower]:
        """Follow a job.

        Raises:
            OverloadedError: as many follow jobs as may.
        """
        if len(self._followers) >= self._limit:
            raise OverloadedError(
                f"{self._limit} event streams are open, as many as this process serves "
                "(COPYIST_MAX_EVENT_STREAMS).",
                remedy="Try again in a while, or ask for the job itself now and then.",
            )
        follower = Follower(job)
        follower.ended = self._stopping
        self._followers.add(follower)
        try:
            yield follower
        finally:
            self._followers.discard(follower)

    def followed(self) -> set[str]:
        """List the ids of the jobs that are followed."""
        return {follower.job.id for follower in self._followers}

    def tell(self, asked: set[str], found: Mapping[str, Job]) -> None:
        """Tell how the jobs are.

        Args:
            asked: the ids looked for.
            found: the jobs that there are; others are forgotten.
        """
        for follower in list(self._followers):
            job = found.get(follower.job.id)
            if job is not None:
                follower.tell(job)
            elif follower.job.id in asked:
                follower.end()

    def stop(self) -> None:
        """Let all followers go, and those to come."""
        self._stopping = True
        for follower in self._followers:
            follower.end()
