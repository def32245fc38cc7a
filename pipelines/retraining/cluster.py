"""Steps as Jobs of a Kubernetes cluster, in whose pods the run's folder is mounted as it is here."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from pipelines.retraining.cluster_manifests import RUN, STEP, StepJob, StepManifests, label
from pipelines.retraining.errors import StepFailedError
from pipelines.retraining.plan import Step
from pipelines.retraining.run import Run, StepState
from pipelines.retraining.runner import Say, failed
from services.cluster.connection import Cluster, connect
from services.cluster.errors import JobNameTakenError, NotInClusterError
from services.cluster.jobs import ClusterJob, JobPhase, Jobs
from services.cluster.pods import LogPosition

#: For how long an API server may be away before a run fails, in seconds.
PATIENCE_S: Final = 3600.0
#: How often logs and pods are looked at, in seconds.
LOOK_S: Final = 5
#: How long a Job of the same name may take to go, in seconds.
_GOING_S: Final = 120.0
#: How long a file that another node has written may take to be seen here, in seconds.
_SEEN_S: Final = 90.0
#: Of a log, what is looked at to find where it was left, in bytes.
_TAIL_BYTES: Final = 1 << 16


class ClusterRunner:
    """Runs each step of a run as a Job, follows its log, and tells what hinders it.

    A Job has the same name whoever leads the run: one that still runs, as who led it was lost, is followed
    rather than begun again. Jobs belong to the Job that this process is of, if any: they go with it.

    Args:
        cluster: where they run. A long patience lets a run outlive the API server's rests.
        manifests: the chart's.
        look_s: how often logs and pods are looked at, in whole seconds.
    """

    def __init__(self, cluster: Cluster, manifests: StepManifests, *, look_s: int = LOOK_S) -> None:
        self._cluster = cluster
        self._manifests = manifests
        self._look_s = look_s

    def run(self, step: Step, run: Run, say: Say) -> None:
        """Run a step; see `Runner`.

        Raises:
            StepFailedError: the Job failed, or was deleted.
            CopyistError: it cannot be started, as of rights, manifests or an API server that is away.
        """
        before = run.step(step.name)
        job = self._manifests.of(step, run)
        jobs = Jobs(self._cluster, job.kind)
        self._begin(jobs, job, run, step, say)
        try:
            ended, troubles = self._follow(jobs, job.name, run.log(step.name), say)
        except NotInClusterError:
            raise StepFailedError(
                f"The {job.kind.kind} {job.name} was deleted before it ended.",
                remedy=f"`copyist retrain --resume {run.id}` starts it again.",
            ) from None
        if ended.phase is JobPhase.SUCCEEDED:
            _wait_for_record(step, run)
            return
        if run.step(step.name) != before:  # it came so far as to say itself what is wrong
            raise failed(step, run, _how(ended, troubles))
        raise StepFailedError(
            f"The step {step.name} of run {run.id} failed: {_how(ended, troubles)}.",
            remedy=f"`copyist retrain --resume {run.id}` goes on with it.",
        )

    def cancel(self, run: Run) -> None:
        """Delete the Jobs of a run, whatever they do; it can go on later where it stopped."""
        for kind in self._manifests.kinds():
            jobs = Jobs(self._cluster, kind)
            for job in jobs.list({RUN: label(run.id)}):
                jobs.delete(job.name)

    def _begin(self, jobs: Jobs, job: StepJob, run: Run, step: Step, say: Say) -> None:
        """Start the step's Job, unless it runs; one that has ended makes room."""
        try:
            found = jobs.find(job.name)
        except NotInClusterError:
            found = None
        if found is not None:
            _check_ours(found, run, step)
            if not found.phase.final:
                say(f"{job.kind.kind} {job.name} is there already: following it")
                return
            jobs.delete(job.name)
        deadline = time.monotonic() + _GOING_S
        while True:
            try:
                jobs.start(job.manifest)
            except JobNameTakenError:  # the one before is still going
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)
            else:
                say(f"{job.kind.kind} {job.name} started")
                return

    def _follow(self, jobs: Jobs, name: str, log: Path, say: Say) -> tuple[ClusterJob, dict[str, str]]:
        """Follow a Job to its end: its last state, and what has been said of its pods."""
        position = position_of(log)
        troubles: dict[str, str] = {}
        for job in jobs.follow(name, watch_s=self._look_s):
            with log.open("a", encoding="utf-8") as file:
                for line in jobs.log_after(name, position):
                    position = position.after(line)
                    file.write(f"{line.at} {line.text}\n")
                    if line.text.strip():
                        say(line.text.rstrip())
            for pod in jobs.pods(name):
                if pod.trouble and troubles.get(pod.name) != pod.trouble:
                    troubles[pod.name] = pod.trouble
                    say(f"pod {pod.name}: {pod.trouble}")
            if job.phase.final:
                return job, troubles
        raise AssertionError("following a Job ends with its last state")


def cluster_runner(manifests: Path) -> ClusterRunner:
    """Runs steps in this process's namespace.

    Args:
        manifests: the folder of the Jobs' manifests.

    Raises:
        NoClusterError: this process has no credentials.
    """
    return ClusterRunner(connect(patience_s=PATIENCE_S), StepManifests(manifests))


def _check_ours(found: ClusterJob, run: Run, step: Step) -> None:
    if (found.labels.get(RUN), found.labels.get(STEP)) != (label(run.id), step.name):
        raise JobNameTakenError(
            f"There is a Job {found.name} already, and it is not of run {run.id}.",
            remedy="Delete it, or begin another run.",
        )


def _wait_for_record(step: Step, run: Run) -> None:
    """Wait until the step's record is seen here: a shared folder may be late."""
    deadline = time.monotonic() + _SEEN_S
    while (record := run.step(step.name)) is None or record.state is not StepState.DONE:
        if time.monotonic() > deadline:
            raise failed(step, run, "its Job succeeded, but the run's folder here does not say so")
        time.sleep(1)


def _how(job: ClusterJob, troubles: dict[str, str]) -> str:
    said = ": ".join(filter(None, (job.reason, job.message.removesuffix("."))))
    pods = "; ".join(f"pod {name}: {trouble}" for name, trouble in troubles.items())
    return f"its Job {job.name} failed ({'; '.join(filter(None, (said, pods))) or 'no reason given'})"


def position_of(log: Path) -> LogPosition:
    """Where the log of a step was left, by whoever led the run before."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return LogPosition()
    moments = [line.partition(" ")[0] for line in lines if LogPosition.is_moment(line.partition(" ")[0])]
    return LogPosition(moments[-1], moments.count(moments[-1])) if moments else LogPosition()
