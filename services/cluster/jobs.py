"""Kubernetes Jobs: starting them once, following them, reading their logs, and clearing them away."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from kubernetes.client import ApiException, BatchV1Api, CoreV1Api

from services.cluster.connection import TIMES_S, Cluster
from services.cluster.errors import (
    JobNameTakenError,
    JobUnfinishedError,
    NotInClusterError,
)
from services.cluster.following import WATCH_S, follow

#: Marks the Jobs that were started here.
MANAGED_BY: Final = {"app.kubernetes.io/managed-by": "copyist"}
#: Annotation: the digest of the manifest that a Job was started from, by which it is known again.
MANIFEST_SHA256: Final = "copyist.io/manifest-sha256"
#: Label by which Kubernetes marks a Job's pods.
_JOB_NAME: Final = "batch.kubernetes.io/job-name"
#: Most bytes of a log that are read.
LOG_BYTES: Final = 1 << 20


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
    """The Jobs of one namespace. Safe to use from several threads."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._batch = BatchV1Api(cluster.client)
        self._core = CoreV1Api(cluster.client)

    def start(self, manifest: Mapping[str, Any]) -> ClusterJob:
        """Start a Job. One that was started from an equal manifest is taken as it is, ended or not.

        Args:
            manifest: a Job of `batch/v1` with a name of its own.

        Raises:
            JobNameTakenError: a Job of this name came of another manifest, or of someone else, or is going.
            ClusterRefusedError: the manifest has fields that Kubernetes does not know, or is wrong otherwise.
            ClusterUnavailableError, ClusterForbiddenError: as `Cluster.ask`.
        """
        body = _marked(manifest)
        name = body["metadata"]["name"]
        try:
            return _read(self._cluster.ask(f"start the Job {name}", partial(self._create, body)))
        except ApiException as error:
            if error.status != HTTPStatus.CONFLICT:
                raise
        return self._adopt(name, body)

    def _create(self, body: Mapping[str, Any]) -> Any:
        """Send a manifest as it is.

        The client's own method makes a `V1Job` of it first, which drops fields that it does not know without
        a word; Kubernetes itself, asked to be strict, names them.
        """
        client = self._cluster.client
        request = client.param_serialize(
            method="POST",
            resource_path="/apis/batch/v1/namespaces/{namespace}/jobs",
            path_params={"namespace": self._cluster.namespace},
            query_params=[("fieldValidation", "Strict")],
            header_params={"Accept": "application/json", "Content-Type": "application/json"},
            body=body,
            auth_settings=["BearerToken"],
        )
        answer = client.call_api(*request, _request_timeout=TIMES_S)
        answer.read()  # type: ignore[no-untyped-call]
        return client.response_deserialize(answer, {"2XX": "V1Job"}).data

    def _adopt(self, name: str, body: Mapping[str, Any]) -> ClusterJob:
        """Take the Job of this name for the one that was to be started, if it is."""
        found = self._get(name)
        if found.metadata.deletion_timestamp:
            raise JobNameTakenError(
                f"The Job {name} is just being deleted.", remedy="Start it again in a few seconds."
            )
        marks = (found.metadata.labels or {}), (found.metadata.annotations or {})
        wanted = body["metadata"]["labels"], body["metadata"]["annotations"]
        if any(mark.get(key) != want[key] for mark, want, key in zip(marks, wanted, _MARKS, strict=True)):
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
            self._batch.read_namespaced_job, name, self._cluster.namespace, _request_timeout=TIMES_S
        )
        return self._cluster.ask(f"read the Job {name}", get)

    def list(self, labels: Mapping[str, str]) -> tuple[ClusterJob, ...]:
        """List the Jobs that were started here and carry all of these labels, by name.

        Raises:
            ClusterUnavailableError, ClusterForbiddenError: as `Cluster.ask`.
        """
        selector = ",".join(f"{key}={value}" for key, value in {**MANAGED_BY, **labels}.items())
        lists = partial(
            self._batch.list_namespaced_job,
            self._cluster.namespace,
            label_selector=selector,
            _request_timeout=TIMES_S,
        )
        found = self._cluster.ask("list Jobs", lists).items
        return tuple(sorted(map(_read, found), key=lambda job: job.name))

    def follow(self, name: str, *, watch_s: int = WATCH_S) -> Iterator[ClusterJob]:
        """Yield a Job's state now, after each change and every `watch_s` seconds; its last state ends it.

        Raises:
            NotInClusterError: there is none of this name, or there no longer is.
            ClusterUnavailableError, ClusterForbiddenError: as `Cluster.ask`.
        """
        for found in follow(self._cluster, self._batch.list_namespaced_job, name, watch_s=watch_s):
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
            lines: how many at most, 1 or more; at most `LOG_BYTES` bytes of them.

        Raises:
            ClusterUnavailableError, ClusterForbiddenError: as `Cluster.ask`.
        """
        namespace = self._cluster.namespace
        lists = partial(
            self._core.list_namespaced_pod,
            namespace,
            label_selector=f"{_JOB_NAME}={name}",
            _request_timeout=TIMES_S,
        )
        pods: list[Any] = self._cluster.ask(f"list the pods of the Job {name}", lists).items
        begun = [pod for pod in pods if pod.status and pod.status.phase in ("Running", "Succeeded", "Failed")]
        if not begun:
            return ""
        newest = max(begun, key=lambda pod: pod.metadata.creation_timestamp)
        read = partial(
            self._core.read_namespaced_pod_log,
            newest.metadata.name,
            namespace,
            tail_lines=lines,
            limit_bytes=LOG_BYTES,
            _request_timeout=TIMES_S,
        )
        return str(self._cluster.ask(f"read the log of the Job {name}", read))

    def delete(self, name: str) -> None:
        """Delete a Job and its pods; nothing happens where there is none.

        Raises:
            ClusterUnavailableError, ClusterForbiddenError: as `Cluster.ask`.
        """
        delete = partial(
            self._batch.delete_namespaced_job,
            name,
            self._cluster.namespace,
            propagation_policy="Background",
            _request_timeout=TIMES_S,
        )
        try:
            self._cluster.ask(f"delete the Job {name}", delete)
        except NotInClusterError:
            return


#: The label and the annotation by which a Job that was started here is known.
_MARKS: Final = (*MANAGED_BY, MANIFEST_SHA256)


def _marked(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with the marks by which its Job will be known again."""
    metadata = manifest["metadata"]
    digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    return {
        **manifest,
        "metadata": {
            **metadata,
            "labels": {**metadata.get("labels", {}), **MANAGED_BY},
            "annotations": {**metadata.get("annotations", {}), MANIFEST_SHA256: digest},
        },
    }


def _read(found: Any) -> ClusterJob:
    """What a Job's object tells."""
    status = found.status
    conditions = {
        condition.type: condition for condition in status.conditions or () if condition.status == "True"
    }
    failure = conditions.get("Failed")
    if "Complete" in conditions:
        phase = JobPhase.SUCCEEDED
    elif failure:
        phase = JobPhase.FAILED
    else:
        phase = JobPhase.RUNNING if status.active else JobPhase.WAITING
    return ClusterJob(
        name=found.metadata.name,
        uid=found.metadata.uid,
        phase=phase,
        reason=(failure.reason or "") if failure else "",
        message=(failure.message or "") if failure else "",
        failed_pods=status.failed or 0,
        labels=dict(found.metadata.labels or {}),
        started=status.start_time,
        ended=status.completion_time or (failure.last_transition_time if failure else None),
    )
