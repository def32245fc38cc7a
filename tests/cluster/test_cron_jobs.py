from __future__ import annotations

import pytest

from services.cluster import rules
from services.cluster.connection import Cluster
from services.cluster.cron_jobs import start_from_cronjob
from services.cluster.errors import JobNameTakenError, NotInClusterError
from services.cluster.jobs import Jobs
from tests.cluster.api_server import ApiServer
from tests.cluster.manifests import cron_job, rights


@pytest.fixture
def put(api: ApiServer) -> ApiServer:
    """The API server of a cluster with the CronJob `copyist-retrain-piano`."""
    api.put("cronjobs", cron_job())
    return api


def test_the_job_is_the_templates_with_its_own_arguments_and_annotations(
    put: ApiServer, cluster: Cluster
) -> None:
    job = start_from_cronjob(
        cluster,
        "copyist-retrain-piano",
        "copyist-retrain-piano-5f3a",
        arguments=["--reason", "drift of piano 1"],
        annotations={"copyist.io/reason": "drift of piano 1"},
    )
    assert job.labels["app.kubernetes.io/component"] == "retrain"
    stored = put.object("jobs", "copyist-retrain-piano-5f3a")
    container = stored["spec"]["template"]["spec"]["containers"][0]
    assert container["command"] == ["copyist", "retrain", "piano"]
    assert container["args"] == ["--reason", "drift of piano 1"]
    assert stored["spec"]["backoffLimit"] == 6
    assert stored["metadata"]["annotations"]["cronjob.kubernetes.io/instantiate"] == "manual"
    assert stored["metadata"]["annotations"]["copyist.io/reason"] == "drift of piano 1"
    (owner,) = stored["metadata"]["ownerReferences"]
    uid = put.object("cronjobs", "copyist-retrain-piano")["metadata"]["uid"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("CronJob", "copyist-retrain-piano", uid)
    assert "args" not in cron_container(put)


def cron_container(api: ApiServer) -> dict[str, object]:
    template = api.object("cronjobs", "copyist-retrain-piano")["spec"]["jobTemplate"]["spec"]["template"]
    container: dict[str, object] = template["spec"]["containers"][0]
    return container


def test_started_again_it_is_the_same_job_and_another_one_is_refused(
    put: ApiServer, cluster: Cluster
) -> None:
    first = start_from_cronjob(cluster, "copyist-retrain-piano", "run-1", arguments=["--reason", "a"])
    again = start_from_cronjob(cluster, "copyist-retrain-piano", "run-1", arguments=["--reason", "a"])
    assert again.uid == first.uid
    with pytest.raises(JobNameTakenError, match="run-1"):
        start_from_cronjob(cluster, "copyist-retrain-piano", "run-1", arguments=["--reason", "b"])


def test_a_cronjob_that_is_not_there(cluster: Cluster) -> None:
    with pytest.raises(NotInClusterError, match=r'cronjobs\.batch "copyist-retrain-drums" not found'):
        start_from_cronjob(cluster, "copyist-retrain-drums", "run-1")


def test_the_rules_are_what_is_called_and_no_more(put: ApiServer, cluster: Cluster) -> None:
    put.rights = rights(*rules.CRON_JOB_STARTER)
    for _ in range(2):
        start_from_cronjob(cluster, "copyist-retrain-piano", "run-1")
    assert [job.name for job in Jobs(cluster).list({"app.kubernetes.io/component": "retrain"})] == ["run-1"]
    assert {call.right for call in put.calls} == put.rights
