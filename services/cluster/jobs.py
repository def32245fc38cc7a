"""Kubernetes Jobs and their kin: started once, followed, their logs read, deleted."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from kubernetes.client import ApiException, CustomObjectsApi

from services.cluster.connection import TIMES_S, Cluster
from services.cluster.errors import (
    JobNameTakenError,
    JobUnfinishedError,
    NotInClusterError,
)
from services.cluster.following import WATCH_S, follow
from services.cluster.marks import MANAGED_BY, marked, same_marks
from services.cluster.pods import JobPod, JobPods, LogLine, LogPosition


@dataclass(frozen=True, slots=True)
class JobKind:
    """A kind of objects that run pods to an end and say so by the conditions `Complete` and `Failed`.

    Attributes:
        group, version, plural: where the API keeps them.
        kind: what manifests call it.
        pod_labels: selects the pods of the one whose name stands for NAME.
    """

    group: str
    version: str
    plural: str
    kind: str
    pod_labels: str


#: Kubernetes' own.
JOB: Final = JobKind("batch", "v1", "jobs", "Job", "batch.kubernetes.io/job-name=NAME")
#: Kubeflow Trainer's, which makes a JobSet of the same name; of its pods the first, which leads.
TRAIN_JOB: Final = JobKind(
    "trainer.kubeflow.org",
    "v1alpha1",
    "trainjobs",
    "TrainJob",
    "jobset.sigs.k8s.io/jobset-name=NAME,batch.kubernetes.io/job-completion-index=0",
)


class JobPhase(StrEnum):
    """How far a Job is."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"

    @property
    def final(self) -> bool:
        """Whether it stays so."""
        return self in (JobPhase.SUCCEEDED, JobPhase.FAILED)


@dataclass(frozen=True, slots=True)
class ClusterJob:
    """A Job as it was when Kubernetes was asked.

    Attributes:
        name: in its namespace.
        uid: tells it from an earlier Job of the same name.
        phase: how far it is.
        reason: why it failed, in one word (`BackoffLimitExceeded`, `DeadlineExceeded`, ...); else empty.
        message: the same for people.
        failed_pods: how many of its pods failed so far.
        labels: the Job's own.
        started, ended: when; None as long as it has not.
    """

    name: str
    uid: str
    phase: JobPhase
    reason: str
    message: str
    failed_pods: int
    labels: Mapping[str, str]
    started: datetime | None
    ended: datetime | None


class Jobs:
    """The Jobs of one namespace and one kind. Safe to use from several threads."""

    def __init__(self, cluster: Cluster, kind: JobKind = JOB) -> None:
        self._cluster = cluster
        self._kind = kind
        self._pods = JobPods(cluster)
        # Takes and gives objects as they are: the classes of Jobs drop fields that they do not know.
        self._api = CustomObjectsApi(cluster.client)
        self._place: dict[str, Any] = {
            "group": kind.group,
            "version": kind.version,
            "namespace": cluster.namespace,
            "plural": kind.plural,
        }

    def start(self, manifest: Mapping[str, Any]) -> ClusterJob:
        """Start a Job. One that was started from an equal manifest is taken as it is, ended or not.

        Args:
            manifest: of this kind, with a name of its own.

        Raises:
            JobNameTakenError: a Job of this name came of another manifest, or of someone else, or is going.
            ClusterRefusedError: the manifest has fields that Kubernetes does not know, or is wrong otherwise.
            ClusterUnavailableError, ClusterForbiddenError: as `Cluster.ask`.
        """
        body = marked(manifest)
        name = body["metadata"]["name"]
        create = partial(
            self._api.create_namespaced_custom_object,
            **self._place,
            body=body,
            field_validation="Strict",
            _request_timeout=TIMES_S,
        )
        try:
            return _read(self._cluster.ask(f"start the {self._kind.kind} {name}", create))
        except ApiException as error:
            if error.status != HTTPStatus.CONFLICT:
                raise
        return self._adopt(name, body)

    def _adopt(self, name: str, body: Mapping[str, Any]) -> ClusterJob:
        """Take the Job of this name for the one that was to be started, if it is."""
        found = self._get(name)
        metadata = found["metadata"]
        if "deletionTimestamp" in metadata:
            raise JobNameTakenError(
                f"The Job {name} is just being deleted.", remedy="Start it again in a few seconds."
            )
        if not same_marks(metadata, body["metadata"]):
            raise JobNameTakenError(
                f"There is a Job {name} already, and it is another one.",
                remedy="Give the new one another name, or delete the one that is there.",
            )
        return _read(found)

    def find(self, name: str) -> ClusterJob:
        """Read a Job's state.

        Raises:
            NotInClusterError: there is none of this name.
            ClusterUnavailableError, ClusterForbiddenError: as `Cluster.ask`.
        """
        return _read(self._get(name))

    def _get(self, name: str) -> Any:
        get = partial(
            self._api.get_namespaced_custom_object, **self._place, name=name, _request_timeout=TIMES_S
        )
        return self._cluster.ask(f"read the {self._kind.kind} {name}", get)

    def list(self, labels: Mapping[str, str]) -> tuple[ClusterJob, ...]:
        """List the Jobs that were started here and carry all of these labels, by name.

        Raises:
            ClusterUnavailableError, ClusterForbiddenError: as `Cluster.ask`.
        """
        selector = ",".join(f"{key}={value}" for key, value in {**MANAGED_BY, **labels}.items())
        lists = partial(
            self._api.list_namespaced_custom_object,
            **self._place,
            label_selector=selector,
            _request_timeout=TIMES_S,
        )
        found: Any = self._cluster.ask(f"list {self._kind.plural}", lists)
        return tuple(sorted(map(_read, found["items"]), key=lambda job: job.name))

    def follow(self, name: str, *, watch_s: int = WATCH_S) -> Iterator[ClusterJob]:
        """Yield a Job's state now, after each change and every `watch_s` seconds; its last state ends it.

        Raises:
            NotInClusterError: there is none of this name, or there no longer is.
            ClusterUnavailableError, ClusterForbiddenError: as `Cluster.ask`.
        """
        lists = partial(self._api.list_namespaced_custom_object, **self._place)
        for found in follow(self._cluster, lists, name, watch_s=watch_s):
            if found is None:
                raise NotInClusterError(f"There is no Job {name} in {self._cluster.namespace} (any more).")
            job = _read(found)
            yield job
            if job.phase.final:
                return

    def wait(self, name: str, timeout_s: float) -> ClusterJob:
        """Wait until a Job has ended, well or not.

        Args:
            name: of the Job.
            timeout_s: for how long at most, in seconds; looked at whenever something happens, and at least
                every 5 seconds.

        Raises:
            JobUnfinishedError: it has not ended in time; it goes on.
            NotInClusterError: there is none of this name, or there no longer is.
            ClusterUnavailableError, ClusterForbiddenError: as `Cluster.ask`.
        """
        deadline = time.monotonic() + timeout_s
        for job in self.follow(name, watch_s=max(1, min(5, int(timeout_s)))):
            if job.phase.final:
                return job
            if time.monotonic() >= deadline:
                raise JobUnfinishedError(f"The Job {name} has not ended within {timeout_s:g} s.")
        raise AssertionError("following a Job ends with its last state")

    def log(self, name: str, *, lines: int = 100) -> str:
        """Read the last lines that the newest pod of a Job wrote; empty where it has no pod that ran yet.

        Args:
            name: of the Job.
            lines: how many at most, 1 or more; at most `pods.LOG_BYTES` bytes of them.

        Raises:
            ClusterUnavailableError, ClusterForbiddenError: as `Cluster.ask`.
        """
        begun = [pod for pod in self.pods(name) if pod.begun]
        return self._pods.log(begun[-1].name, lines=lines) if begun else ""

    def log_after(self, name: str, position: LogPosition) -> Iterator[LogLine]:
        """Yield the whole lines that the pods of a Job, one after another, have written after a position.

        Raises:
            ClusterUnavailableError, ClusterForbiddenError: as `Cluster.ask`.
        """
        for pod in self.pods(name):
            if pod.begun:
                yield from self._pods.log_after(pod.name, position)

    def pods(self, name: str) -> tuple[JobPod, ...]:
        """List the pods of a Job, oldest first.

        Raises:
            ClusterUnavailableError, ClusterForbiddenError: as `Cluster.ask`.
        """
        return self._pods.find(self._kind.pod_labels.replace("NAME", name))

    def delete(self, name: str) -> None:
        """Delete a Job and its pods; nothing happens where there is none.

        Raises:
            ClusterUnavailableError, ClusterForbiddenError: as `Cluster.ask`.
        """
        delete = partial(
            self._api.delete_namespaced_custom_object,
            **self._place,
            name=name,
            propagation_policy="Background",
            _request_timeout=TIMES_S,
        )
        try:
            self._cluster.ask(f"delete the {self._kind.kind} {name}", delete)
        except NotInClusterError:
            return


def _read(found: Any) -> ClusterJob:
    """What a Job's object tells."""
    metadata, status = found["metadata"], found.get("status", {})
    conditions = {
        condition["type"]: condition
        for condition in status.get("conditions", ())
        if condition["status"] == "True"
    }
    complete, failure = conditions.get("Complete"), conditions.get("Failed")
    if complete:
        phase = JobPhase.SUCCEEDED
    elif failure:
        phase = JobPhase.FAILED
    else:
        active = status.get("active") or any(job.get("active") for job in status.get("jobsStatus", ()))
        phase = JobPhase.RUNNING if active else JobPhase.WAITING
    return ClusterJob(
        name=metadata["name"],
        uid=metadata["uid"],
        phase=phase,
        reason=failure.get("reason", "") if failure else "",
        message=failure.get("message", "") if failure else "",
        failed_pods=status.get("failed", 0),
        labels=metadata.get("labels", {}),
        started=_moment(status.get("startTime")),
        ended=_moment((complete or failure or {}).get("lastTransitionTime")),
    )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
