"""DBOS in a worker: it takes jobs and webhooks from their queues and calls who does them."""

from __future__ import annotations

from dbos import DBOS, DBOSConfig
from dbos._error import DBOSInitializationError

from services.runtime.database import Database, translated
from services.runtime.jobs.queue import (
    APPLICATION,
    APPLICATION_VERSION,
    JOB_WORKFLOW,
    SERIALIZER,
    WEBHOOK_QUEUE,
    WEBHOOK_WORKFLOW,
    webhook_id,
)
from services.runtime.jobs.webhooks import Webhooks
from services.runtime.jobs.workflow import JobRunner
from services.runtime.migrations import SchemaError

#: Webhooks that one worker calls at once: they only wait for others' servers.
_WEBHOOKS_AT_ONCE = 4
#: Seconds between two looks at a queue.
_POLL_S = 0.5


class Durable:
    """The one DBOS of this process; synchronous, and blocking.

    Args:
        service: whose jobs are taken.
        worker_id: which DBOS records with what it takes.
        jobs_at_once: how many.
        database: holds the queues.
        runner: does the jobs.
        webhooks: calls the webhooks.
    """

    def __init__(
        self,
        service: str,
        worker_id: str,
        jobs_at_once: int,
        database: Database,
        runner: JobRunner,
        webhooks: Webhooks,
    ) -> None:
        self._service = service
        self._jobs_at_once = jobs_at_once
        self._runner = runner
        self._webhooks = webhooks
        self._config: DBOSConfig = {
            "name": APPLICATION,
            "system_database_engine": database.engine,
            "application_version": APPLICATION_VERSION,
            "executor_id": worker_id,
            "run_migrations": False,
            "use_listen_notify": False,
            "serializer": SERIALIZER,
            "log_level": "WARNING",
        }

    def launch(self) -> None:
        """Begin to take jobs; first of all those that this worker had in hand when it last ended.

        Raises:
            DatabaseUnavailableError: it may be tried again.
            SchemaError: DBOS's tables are older than this version needs.
        """
        runner, webhooks = self._runner, self._webhooks

        def job(job_id: str) -> None:
            runner.run(job_id)

        def webhook(job_id: str, attempt: int) -> str:
            return webhooks.run(webhook_id(job_id, attempt), job_id, attempt)

        DBOS(config=self._config)
        try:
            # How often a job is begun is counted in its own row, where shut-downs in order do not count.
            DBOS.workflow(name=JOB_WORKFLOW, max_recovery_attempts=None)(job)
            DBOS.workflow(name=WEBHOOK_WORKFLOW, max_recovery_attempts=None)(webhook)
            DBOS.listen_queues([self._service, WEBHOOK_QUEUE])
            with translated():
                _launch()
                self._register(self._service, self._jobs_at_once)
                self._register(WEBHOOK_QUEUE, _WEBHOOKS_AT_ONCE)
        except BaseException:
            DBOS.destroy(destroy_registry=True)
            raise

    def stop(self, limit_s: int) -> None:
        """Take no more, and wait for what is in hand.

        Args:
            limit_s: for how many seconds.
        """
        DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=limit_s)

    @staticmethod
    def _register(queue: str, at_once: int) -> None:
        DBOS.register_queue(
            queue, worker_concurrency=at_once, polling_interval_sec=_POLL_S, on_conflict="always_update"
        )


def _launch() -> None:
    try:
        DBOS.launch()
    except DBOSInitializationError as error:
        raise SchemaError(str(error), remedy="Run `copyist migrate`.") from error
