"""A job's course as server-sent events (the WHATWG's HTML standard, section 9.2)."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Final

from services.runtime.jobs.job import Job
from services.runtime.jobs.watching import Watches
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


async def stream(watches: Watches, job: Job, seen: int) -> AsyncGenerator[bytes, None]:
    """Write the events of a job until it is finished or forgotten, or the service stops.

    Args:
        watches: where news of it comes in.
        job: as it is now.
        seen: the version that the watcher has seen; of an older job, or another database, it says nothing.
    """
    with watches.watching(job) as watch:
        yield _RETRY
        seen = seen if seen <= job.version else 0
        while True:
            if watch.job.version > seen:
                seen = watch.job.version
                yield event(watch.job)
            if watch.job.state.finished or watch.ended:
                return
            if not await watch.wait(KEEP_ALIVE_S):
                yield _KEEP_ALIVE
