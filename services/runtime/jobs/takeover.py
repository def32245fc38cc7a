"""How workers tell that they live, and take over what a lost worker had in hand.

Nobody compares clocks: each worker counts up a number in its row, and the others watch by their own clocks
for how long it has not changed.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Final

import sqlalchemy as sa

from services.errors import CopyistError
from services.runtime.database import Database
from services.runtime.jobs import metrics
from services.runtime.jobs.queue import JobQueue
from services.runtime.jobs.tables import WORKERS, now

log = logging.getLogger("copyist.jobs")

#: Seconds after which what this process has taken, but does not work on, is put back.
_UNSTARTED_S: Final = 10.0
_ROW_KEPT: Final = timedelta(days=1)


class WorkerReplacedError(CopyistError):
    """Another process runs under this worker's name, and has its jobs now."""

    slug = "worker-replaced"
    title = "Another process runs under this worker's name"


class Pulse:
    """A worker's sign of life; synchronous.

    Args:
        database: where the row lies.
        service: whose worker.
        worker_id: its name; at most 200 characters.
    """

    def __init__(self, database: Database, service: str, worker_id: str) -> None:
        self._database = database
        self._worker_id = worker_id
        self._session = uuid.uuid4().hex
        self._row = {"service": service, "session": self._session}

    def begin(self) -> None:
        """Take the name over from whatever process had it before."""
        with self._database.begin() as connection:
            connection.execute(sa.delete(WORKERS).where(WORKERS.c.id == self._worker_id))
            self._insert(connection)

    def beat(self) -> None:
        """Give a sign of life.

        Raises:
            WorkerReplacedError: the name was taken over.
        """
        with self._database.begin() as connection:
            session = connection.execute(
                sa.select(WORKERS.c.session).where(WORKERS.c.id == self._worker_id)
            ).scalar()
            if session is None:
                self._insert(connection)
            elif session != self._session:
                raise WorkerReplacedError(
                    f"Another process runs as the worker {self._worker_id}.",
                    remedy="Give each worker a COPYIST_WORKER_ID of its own.",
                )
            connection.execute(
                sa.update(WORKERS)
                .where(WORKERS.c.id == self._worker_id, WORKERS.c.session == self._session)
                .values(beat=WORKERS.c.beat + 1, seen_at=now())
            )

    def beats(self) -> dict[str, tuple[str, int]]:
        """What changes with each sign of life, of all workers of all services."""
        with self._database.read() as connection:
            rows = connection.execute(sa.select(WORKERS.c.id, WORKERS.c.session, WORKERS.c.beat))
            return {row.id: (row.session, row.beat) for row in rows}

    def end(self) -> None:
        """Tell that the worker has ended in order."""
        with self._database.begin() as connection:
            connection.execute(
                sa.delete(WORKERS).where(WORKERS.c.id == self._worker_id, WORKERS.c.session == self._session)
            )

    def forget_old(self) -> None:
        """Remove the rows of workers that were lost long ago."""
        with self._database.begin() as connection:
            connection.execute(sa.delete(WORKERS).where(WORKERS.c.seen_at < now() - _ROW_KEPT))

    def _insert(self, connection: sa.Connection) -> None:
        connection.execute(sa.insert(WORKERS).values(id=self._worker_id, beat=0, seen_at=now(), **self._row))


class Silence:
    """For how long names have shown no change.

    Args:
        limit_s: seconds after which one counts as lost.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._seen: dict[str, tuple[object, float]] = {}
        self._looked_at: float | None = None

    def lost(self, wanted: Iterable[str], signs: Mapping[str, object], moment: float) -> set[str]:
        """Tell which names have shown no change for longer than the limit.

        Args:
            wanted: the names to watch; others are forgotten.
            signs: what each shows now; a name may be absent.
            moment: seconds by a clock that never goes back.
        """
        if self._looked_at is not None and moment - self._looked_at > self._limit_s / 2:
            # It was this worker that was away: it has not seen the others live.
            self._seen.clear()
        self._looked_at = moment
        seen = {}
        for name in wanted:
            sign = signs.get(name)
            before = self._seen.get(name)
            seen[name] = before if before is not None and before[0] == sign else (sign, moment)
        self._seen = seen
        return {name for name, (_, since) in seen.items() if moment - since > self._limit_s}


class Takeover:
    """Puts back what lost workers had in hand, and what this process took but never began.

    Args:
        service: whose jobs.
        worker_id: this worker.
        queue: where they are taken from.
        lost_s: seconds without a sign of life after which a worker is lost.
        in_hand: the workflows that this process works on.
    """

    def __init__(
        self,
        service: str,
        worker_id: str,
        queue: JobQueue,
        lost_s: float,
        in_hand: Callable[[], frozenset[str]],
    ) -> None:
        self._service = service
        self._worker_id = worker_id
        self._queue = queue
        self._in_hand = in_hand
        self._workers = Silence(lost_s)
        self._unstarted = Silence(_UNSTARTED_S)

    def look(self, beats: Mapping[str, object], moment: float) -> None:
        """Look once at who has what.

        Args:
            beats: of all workers, as `Pulse.beats` gives them.
            moment: seconds by a clock that never goes back.
        """
        taken = [(entry.workflow_id, entry.executor_id or "") for entry in self._queue.taken(self._service)]
        others = {worker for _, worker in taken if worker != self._worker_id}
        lost = self._workers.lost(others, beats, moment)
        in_hand = self._in_hand()
        mine = {workflow for workflow, worker in taken if worker == self._worker_id} - in_hand
        unstarted = self._unstarted.lost(mine, {}, moment)
        for workflow, worker in taken:
            if (worker in lost or workflow in unstarted) and self._queue.put_back(workflow, worker):
                log.warning("took %s over from the worker %s", workflow, worker)
                metrics.TAKEN_OVER.labels(self._service).inc()
