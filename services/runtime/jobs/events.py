"""A job's course as server-sent events (the WHATWG's HTML standard, section 9.2)."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Final

from services.runtime.jobs.followers import Followers
from services.runtime.jobs.job import Job
from services.runtime.jobs.wire import job_json

MEDIA_TYPE: Final = "text/event-stream"
#: Shorter than what proxies let a silent connection live.
KEEP_ALIVE_S: Final = 15.0
_KEEP_ALIVE: Final = b": still here\n\n"
#: After how long a browser that lost the stream is to ask again.
_RETRY: Final = b"retry: 2000\n\n"


def last_seen(last_event_id: str) -> int:
    """Read a `Last-Event-ID`: the job's version that the watcher has seen; 0 for none."""
    text = last_event_id.strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else 0


def event(job: Job) -> bytes:
    """Write one event: `progress`, or the final state's name."""
    kind = job.state.value if job.state.finished else "progress"
    data = json.dumps(job_json(job), ensure_ascii=False, separators=(",", ":"))
    return f"id: {job.version}\nevent: {kind}\ndata: {data}\n\n".encode()


async def stream(followers: Followers, job: Job, seen: int) -> AsyncGenerator[bytes, None]:
    """Write the events of a job until it is finished or forgotten, or the service stops.

    Args:
        followers: where news of it comes in.
        job: as it is now.
        seen: the version that the watcher has seen; of an older job, or another database, it says nothing.
    """
    with followers.following(job) as follower:
        yield _RETRY
        seen = seen if seen <= job.version else 0
        while True:
            if follower.job.version > seen:
                seen = follower.job.version
                yield event(follower.job)
            if follower.job.state.finished or follower.ended:
                return
            if not await follower.wait(KEEP_ALIVE_S):
                yield _KEEP_ALIVE
