"""Calls that tell a caller's own server of a job's end.

Each try is a workflow of DBOS of its own, and the next one is enqueued for later: so they outlive any
process, and none waits in memory. A try that is killed is made again: a call may come twice.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import random
import ssl
import threading
import time
from typing import Final

import httpcore

from services.runtime.database import Database
from services.runtime.jobs import metrics
from services.runtime.jobs.addresses import PublicNetwork, WebhookRefusedError, check_webhook_url, parsed
from services.runtime.jobs.job import Job
from services.runtime.jobs.patience import patiently
from services.runtime.jobs.queue import JobQueue
from services.runtime.jobs.store import JobStore
from services.runtime.jobs.wire import job_json
from services.runtime.settings import Settings

__all__ = ["SIGNATURE_HEADER", "Webhooks", "check_webhook_url", "retry_delay_s", "signature"]

log = logging.getLogger("copyist.jobs")

SIGNATURE_HEADER: Final = "Copyist-Signature"
#: Eight tries spread so lie 10 s, 43 s, 3 min, 13 min, 1 h, 4 h and 17.5 h apart.
_FIRST_DELAY_S: Final = 10.0
_DELAY_GROWTH: Final = 4.3
#: Seconds that a call may take in all, and that connecting and single reads may take.
_CALL_LIMIT_S: Final = 20.0
_TIMEOUTS_S: Final = {"connect": 5.0, "read": 10.0, "write": 5.0, "pool": 5.0}
_GONE: Final = 410


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """Sign a call: the header's value, `t=SECONDS,v1=HEX`.

    HEX is the HMAC-SHA256 under the secret of the timestamp in decimal, a full stop, and the body.
    """
    digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


def retry_delay_s(attempt: int) -> float:
    """Seconds from a try that failed to the next; tries are counted from 1."""
    return _FIRST_DELAY_S * _DELAY_GROWTH ** (attempt - 1)


class Webhooks:
    """Calls webhooks: DBOS calls it in a thread for each try. Made within the worker's event loop.

    Args:
        database: of the jobs.
        store: of the jobs.
        queue: on which the next try is enqueued.
        settings: the secret, and how often a call is tried.
    """

    def __init__(self, database: Database, store: JobStore, queue: JobQueue, settings: Settings) -> None:
        self._database = database
        self._store = store
        self._queue = queue
        self._secret = settings.webhook_secret
        self._attempts = settings.webhook_attempts
        self._loop = asyncio.get_running_loop()
        self._tls = ssl.create_default_context()
        self._lock = threading.Lock()
        self._taken: set[str] = set()

    def taken(self) -> frozenset[str]:
        """The workflows that threads of this process have in hand."""
        with self._lock:
            return frozenset(self._taken)

    def run(self, workflow_id: str, job_id: str, attempt: int) -> str:
        """Make a try; the body of its workflow. Tells how it went."""
        with self._lock:
            self._taken.add(workflow_id)
        try:
            return asyncio.run_coroutine_threadsafe(self._try(job_id, attempt), self._loop).result()
        finally:
            with self._lock:
                self._taken.discard(workflow_id)

    async def _try(self, job_id: str, attempt: int) -> str:
        found = await patiently(lambda: asyncio.to_thread(self._store.many, [job_id]))
        if job_id not in found or not self._secret:
            return "dropped"
        result, wanted_again = await self._call(found[job_id])
        if wanted_again and attempt < self._attempts:
            await patiently(lambda: asyncio.to_thread(self._again, job_id, attempt))
        metrics.WEBHOOKS.labels(result).inc()
        log.info("webhook of job %s, try %d: %s", job_id, attempt, result)
        return result

    def _again(self, job_id: str, attempt: int) -> None:
        delay_s = retry_delay_s(attempt) * random.uniform(0.9, 1.1)  # noqa: S311 - no secret
        with self._database.begin() as connection:
            self._queue.add_webhook(connection, job_id, attempt + 1, delay_s)

    async def _call(self, job: Job) -> tuple[str, bool]:
        """Make the call; tells how it went, and whether it is to be tried again."""
        try:
            async with asyncio.timeout(_CALL_LIMIT_S):
                status = await self._post(job)
        except WebhookRefusedError:
            return "refused", False
        except (
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.TimeoutException,
            TimeoutError,
            OSError,
        ):
            return "unreachable", True
        if 200 <= status < 300:
            return "delivered", False
        return "rejected", status != _GONE

    async def _post(self, job: Job) -> int:
        url = parsed(job.submission.webhook_url)
        body = json.dumps(job_json(job)).encode()
        headers = [
            (b"Host", _host(url)),
            (b"Content-Type", b"application/json"),
            (b"Content-Length", str(len(body)).encode()),
            (b"User-Agent", b"Copyist"),
            (SIGNATURE_HEADER.encode(), signature(self._secret, int(time.time()), body).encode()),
        ]
        pool = httpcore.AsyncConnectionPool(
            ssl_context=self._tls, max_connections=1, network_backend=PublicNetwork()
        )
        # What it answers is of no interest: the body is never read, and no redirect followed.
        async with (
            pool,
            pool.stream(
                "POST", url, headers=headers, content=body, extensions={"timeout": _TIMEOUTS_S}
            ) as got,
        ):
            return got.status


def _host(url: httpcore.URL) -> bytes:
    return url.host if url.port is None else b"%b:%d" % (url.host, url.port)
