"""Retrainings as Kubernetes Jobs, made from the CronJobs that the chart has for each model."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from services.cluster.connection import Cluster
from services.cluster.cron_jobs import start_from_cronjob
from services.cluster.errors import JobNameTakenError, NotInClusterError
from services.cluster.jobs import JobPhase, Jobs
from services.trigger.decisions import RetrainingRequest
from services.trigger.starters import RunPhase, RunState, options

_REQUEST: Final = "copyist.io/retraining-request"
_PHASES: Final = {
    JobPhase.WAITING: RunPhase.RUNNING,
    JobPhase.RUNNING: RunPhase.RUNNING,
    JobPhase.SUCCEEDED: RunPhase.SUCCEEDED,
    JobPhase.FAILED: RunPhase.FAILED,
}


class CronJobStarter:
    """Starts a Job of the model's CronJob; it goes on whatever becomes of the trigger.

    Args:
        cluster: where.
        name: of the CronJobs, without the model: that of `piano` is NAME-piano.
        budget: of each run.
    """

    def __init__(self, cluster: Cluster, name: str, budget: str) -> None:
        self._cluster = cluster
        self._jobs = Jobs(cluster)
        self._name = name
        self._budget = budget

    def start(self, request: RetrainingRequest) -> None:
        """Start it; as `Starter`."""
        # Of this name it is ours, even where the template has been changed since it was started.
        with suppress(JobNameTakenError):
            start_from_cronjob(
                self._cluster,
                f"{self._name}-{request.model}",
                _job_name(request),
                arguments=options(request, self._budget),
                annotations={_REQUEST: request.id},
            )

    def look(self, request: RetrainingRequest) -> RunState:
        """Tell how far it is; as `Starter`."""
        try:
            job = self._jobs.find(_job_name(request))
        except NotInClusterError:
            return RunState(RunPhase.ABSENT)
        phase = _PHASES[job.phase]
        if phase is RunPhase.RUNNING:
            return RunState(phase)
        lines = [line.strip() for line in self._jobs.log(job.name, lines=5).splitlines()]
        return RunState(phase, next((line for line in reversed(lines) if line), job.message))


def _job_name(request: RetrainingRequest) -> str:
    return f"retrain-{request.model}-{request.id[:12]}"
