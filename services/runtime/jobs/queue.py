"""The queues of DBOS: a workflow for each job, and one for each try at a webhook.

What DBOS knows of a job is its id, and which of its stages have ended. Everything that people see lies in our
own table `jobs`.
"""

from __future__ import annotations

import time
from typing import Final

import sqlalchemy as sa
from dbos import DBOSClient, DBOSPortableJSONSerializer, EnqueueOptions, WorkflowStatus

from services.runtime.database import Database, translated
from services.runtime.jobs.tables import JOBS

APPLICATION: Final = "copyist"
#: Rises only with a release whose workers cannot go on with the jobs of the release before.
APPLICATION_VERSION: Final = "1"
#: JSON, not pickle: who can write into the database is not to have code run in the workers.
SERIALIZER: Final = DBOSPortableJSONSerializer()
JOB_WORKFLOW: Final = "job"
WEBHOOK_WORKFLOW: Final = "webhook"
WEBHOOK_QUEUE: Final = "webhooks"

#: States of DBOS.
FREE: Final = "ENQUEUED"
DELAYED: Final = "DELAYED"
TAKEN: Final = "PENDING"
ALIVE: Final = (FREE, DELAYED, TAKEN)
ENDED: Final = ("SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")

#: DBOS's own table, as much of it as is read here; on SQLite it lies in no schema.
_SCHEMA: Final = "dbos"
_WORKFLOWS: Final = sa.Table(
    "workflow_status",
    sa.MetaData(schema=_SCHEMA),
    sa.Column("workflow_uuid", sa.Text),
    sa.Column("status", sa.Text),
    sa.Column("queue_name", sa.Text),
    sa.Column("delay_until_epoch_ms", sa.BigInteger),
)
_WEBHOOK_PREFIX: Final = "webhook-"
_JOB_ID_LENGTH: Final = 32


class JobQueue:
    """The queues, as those see them who do not work on them; for any number of threads.

    All methods raise DatabaseUnavailableError when the database does not answer.
    """

    def __init__(self, database: Database) -> None:
        # A lost connection is to be told at once: whoever calls knows better whether to wait.
        self._client = DBOSClient(
            system_database_engine=database.engine,
            application_name=APPLICATION,
            lazy=True,
            serializer=SERIALIZER,
            retry_connection_errors=False,
        )

    def add_job(self, connection: sa.Connection, service: str, job_id: str) -> None:
        """Enqueue a job within the transaction that makes its row."""
        self._client.enqueue_in_transaction(connection, _options(JOB_WORKFLOW, service, job_id), job_id)

    def add_webhook(
        self, connection: sa.Connection, job_id: str, attempt: int, delay_s: float | None = None
    ) -> None:
        """Enqueue a try at telling of a job's end; the same try is never enqueued twice."""
        options = _options(WEBHOOK_WORKFLOW, WEBHOOK_QUEUE, webhook_id(job_id, attempt))
        if delay_s is not None:
            options["delay_seconds"] = delay_s
        self._client.enqueue_in_transaction(connection, options, job_id, attempt)

    def taken(self, service: str) -> list[WorkflowStatus]:
        """List the workflows that workers of a service have taken and not ended."""
        with translated():
            return self._client.list_workflows(
                status=TAKEN, queue_name=[service, WEBHOOK_QUEUE], load_input=False, load_output=False
            )

    def put_back(self, workflow_id: str, worker_id: str) -> bool:
        """Make a taken workflow free again if that worker still has it; tells whether it had.

        DBOS lets nobody else begin it meanwhile, and refuses what the former holder writes afterwards.
        """
        # The public way to recover, resume_workflow, does not ask whose it is: of two workers that take over
        # at the same moment, the second would take the job away from the first.
        with translated():
            return self._client._sys_db.reenqueue_for_recovery(workflow_id, [worker_id], WEBHOOK_QUEUE)

    def alive(self, workflow_ids: list[str]) -> set[str]:
        """Tell which of the workflows wait or are taken."""
        return self._in_states(workflow_ids, ALIVE)

    def ended_before(self, moment: str, limit: int) -> list[str]:
        """Workflows that ended before a moment (RFC 3339), oldest first."""
        with translated():
            found = self._client.list_workflows(
                completed_before=moment, status=list(ENDED), limit=limit, load_input=False, load_output=False
            )
        return [status.workflow_id for status in found]

    def forget(self, workflow_ids: list[str]) -> None:
        """Remove everything that DBOS knows of workflows; absent ones do no harm.

        One that a worker has in hand stays, as DBOS will soon record its end; `ended_before` finds it later.
        """
        in_hand = self._in_states(workflow_ids, (TAKEN,))
        with translated():
            self._client.delete_workflows([found for found in workflow_ids if found not in in_hand])

    def close(self) -> None:
        """Let go of what the client holds."""
        self._client.destroy()

    def _in_states(self, workflow_ids: list[str], states: tuple[str, ...]) -> set[str]:
        if not workflow_ids:
            # DBOS would take it for no condition.
            return set()
        with translated():
            found = self._client.list_workflows(
                workflow_ids=workflow_ids, status=list(states), load_input=False, load_output=False
            )
        return {status.workflow_id for status in found}


def webhook_id(job_id: str, attempt: int) -> str:
    """The id of a try at telling of a job's end; counted from 1."""
    return f"{_WEBHOOK_PREFIX}{job_id}-{attempt}"


def webhooks_due(connection: sa.Connection, service: str) -> int:
    """Count the tries at telling of ends of a service's jobs that a worker should make, or makes, now."""
    tries, now_ms = _WORKFLOWS.c, int(time.time() * 1000)
    # DBOS makes a delayed one free when its time has come, but only where a worker runs.
    due = sa.or_(
        tries.status.in_((FREE, TAKEN)),
        sa.and_(tries.status == DELAYED, tries.delay_until_epoch_ms <= now_ms),
    )
    job_id = sa.func.substr(tries.workflow_uuid, len(_WEBHOOK_PREFIX) + 1, _JOB_ID_LENGTH)
    query = (
        sa.select(sa.func.count())
        .select_from(_WORKFLOWS.join(JOBS, JOBS.c.id == job_id))
        .where(tries.queue_name == WEBHOOK_QUEUE, due, JOBS.c.service == service)
    )
    schema = None if connection.dialect.name == "sqlite" else _SCHEMA
    options = {"schema_translate_map": {_SCHEMA: schema}}
    return int(connection.execute(query, execution_options=options).scalar_one())


def _options(workflow: str, queue: str, workflow_id: str) -> EnqueueOptions:
    return {"workflow_name": workflow, "queue_name": queue, "workflow_id": workflow_id}
