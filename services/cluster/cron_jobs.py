"""CronJobs: a Job started now from a CronJob's template, as `kubectl create job --from` does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import partial
from typing import Any, Final

from kubernetes.client import CustomObjectsApi

from services.cluster.connection import TIMES_S, Cluster
from services.cluster.jobs import ClusterJob, Jobs

#: Annotation by which Kubernetes' own tools mark Jobs that no schedule started.
_BY_HAND: Final = {"cronjob.kubernetes.io/instantiate": "manual"}


def start_from_cronjob(
    cluster: Cluster,
    cron_job: str,
    name: str,
    *,
    arguments: Sequence[str] = (),
    annotations: Mapping[str, str] | None = None,
) -> ClusterJob:
    """Start a Job from a CronJob's template. Started again under the same name, it is the same Job.

    The Job belongs to the CronJob, which clears it away with those of its schedule; its
    `concurrencyPolicy` does not count it.

    Args:
        cluster: where both are.
        cron_job: name of the CronJob; a suspended one serves as well.
        name: of the Job, at most 63 characters: what is started again after a crash must have its old name.
        arguments: come after those of the template's first container.
        annotations: of the Job, such as the reason why it was started.

    Raises:
        NotInClusterError: there is no such CronJob.
        JobNameTakenError: another Job has this name.
        ClusterUnavailableError, ClusterForbiddenError, ClusterRefusedError: as `Cluster.ask`.
    """
    found = cluster.ask(f"read the CronJob {cron_job}", partial(_read, cluster, cron_job))
    template = deepcopy(found["spec"]["jobTemplate"])
    metadata = template.get("metadata", {})
    container = template["spec"]["template"]["spec"]["containers"][0]
    container["args"] = [*container.get("args", ()), *arguments]
    owner = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "name": cron_job,
        "uid": found["metadata"]["uid"],
        "controller": True,
    }
    manifest = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "labels": metadata.get("labels", {}),
            "annotations": {**metadata.get("annotations", {}), **_BY_HAND, **(annotations or {})},
            "ownerReferences": [owner],
        },
        "spec": template["spec"],
    }
    return Jobs(cluster).start(manifest)


def _read(cluster: Cluster, name: str) -> dict[str, Any]:
    """The CronJob as Kubernetes wrote it: the client's own class drops the fields that it does not know."""
    body: Any = CustomObjectsApi(cluster.client).get_namespaced_custom_object(
        "batch", "v1", cluster.namespace, "cronjobs", name, _request_timeout=TIMES_S
    )
    return dict(body)
