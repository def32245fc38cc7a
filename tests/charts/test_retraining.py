"""Retraining: who leads a run, the Jobs that its steps are run as, and what they share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import helm_python as helm
import pytest

from pipelines.retraining.cluster_manifests import StepManifests
from pipelines.retraining.plan import BY_NAME
from services.cluster.rules import JOBS, TRAIN_JOBS
from tests.charts.kinds import problems
from tests.charts.network import End, Network
from tests.charts.rendering import CASES, NAMESPACE, Object, case, environment, find, merged, of_kind, render
from tests.charts.test_rights import called, rights
from tests.cluster.tiny_steps import tiny_run

KUBEFLOW = merged(
    CASES["retraining"], {"retraining": {"trainer": "kubeflow", "gpu": {"count": 4, "nodes": 2}}}
)


def jobs(objects: list[Object], folder: Path) -> dict[str, Object]:
    """What `copyist retrain` makes of the chart's manifests for a step with a GPU and for one without."""
    for name, text in find(objects, "ConfigMap", "copyist-retrain-jobs")["data"].items():
        (folder / name).write_text(text)
    run, manifests = tiny_run(folder / "runs"), StepManifests(folder)
    return {
        kind: dict(manifests.of(BY_NAME[step], run).manifest)
        for kind, step in (("cpu", "build"), ("gpu", "train"))
    }


def leader(objects: list[Object]) -> Object:
    """The pod that leads runs of the piano model."""
    cron_job = find(objects, "CronJob", "copyist-retrain-piano")
    template: Object = cron_job["spec"]["jobTemplate"]["spec"]["template"]
    return template


def mounted(template: Object) -> dict[str, str]:
    """Where a pod sees claims, by their names."""
    spec = template["spec"]
    claims = {
        each["name"]: each["persistentVolumeClaim"]["claimName"]
        for each in spec["volumes"]
        if "persistentVolumeClaim" in each
    }
    mounts = spec["containers"][0]["volumeMounts"]
    return {claims[each["name"]]: each["mountPath"] for each in mounts if each["name"] in claims}


@pytest.fixture
def made(tmp_path: Path) -> dict[str, Object]:
    """The Jobs of steps as the chart's defaults have them."""
    return jobs(case("retraining"), tmp_path)


def test_the_jobs_of_steps_are_valid_and_what_restricted_asks(made: dict[str, Object]) -> None:
    for job in made.values():
        assert problems(job) == []
        spec = job["spec"]["template"]["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        (container,) = spec["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["image"].split(":")[0].endswith("copyist-training")
        assert "cpu" not in container["resources"]["limits"]


def test_leader_and_steps_see_the_same_folder_and_read_the_same_settings(made: dict[str, Object]) -> None:
    pods = [leader(case("retraining")), *(job["spec"]["template"] for job in made.values())]
    for pod in pods:
        assert mounted(pod) == {"copyist-retrain": "/var/cache/copyist"}
        variables = environment(case("retraining"), pod["spec"]["containers"][0])
        assert variables["COPYIST_RUNS_FOLDER"].startswith("/var/cache/copyist/")
        assert variables["COPYIST_MODELS_URL"] == "s3://models/released"
        assert variables["COPYIST_RELEASE_URL"] == "configmap://copyist-release"
        assert variables["COPYIST_MODEL_REPOSITORY"] == "/srv/copyist/model_repository"
    claim = find(case("retraining"), "PersistentVolumeClaim", "copyist-retrain")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


def test_the_trigger_sees_how_runs_stand_and_changes_nothing() -> None:
    pod = find(case("operators"), "Deployment", "copyist-trigger")["spec"]["template"]
    assert mounted(pod) == {"copyist-retrain": "/var/cache/copyist"}
    (mount,) = (each for each in pod["spec"]["containers"][0]["volumeMounts"] if each["name"] == "runs")
    assert mount["readOnly"] is True


def test_a_run_has_the_name_of_its_job_whichever_pod_leads_it() -> None:
    (container,) = leader(case("retraining"))["spec"]["containers"]
    assert container["command"] == ["copyist", "retrain", "piano", "--run", "$(COPYIST_RETRAIN_JOB_NAME)"]
    fields = {
        each["name"]: each["valueFrom"]["fieldRef"]["fieldPath"]
        for each in container["env"]
        if "fieldRef" in each.get("valueFrom", {})
    }
    assert fields["COPYIST_RETRAIN_JOB_NAME"] == "metadata.labels['batch.kubernetes.io/job-name']"
    assert fields["COPYIST_RETRAIN_JOB_UID"] == "metadata.labels['batch.kubernetes.io/controller-uid']"


def test_training_takes_gpus_and_no_rights_and_nothing_else_takes_gpus(made: dict[str, Object]) -> None:
    gpu, cpu = (made[kind]["spec"]["template"]["spec"] for kind in ("gpu", "cpu"))
    assert gpu["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert "nvidia.com/gpu" in {each["key"] for each in gpu["tolerations"]}
    assert gpu["automountServiceAccountToken"] is False
    assert "nvidia.com/gpu" not in cpu["containers"][0]["resources"]["limits"]
    assert "tolerations" not in cpu
    assert cpu["automountServiceAccountToken"] is True  # it releases what was made


def test_several_gpus_of_a_machine_are_one_process_each(tmp_path: Path) -> None:
    values = merged(CASES["retraining"], {"retraining": {"gpu": {"count": 4}}})
    (container,) = jobs(render(values), tmp_path)["gpu"]["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 4
    assert container["command"][:3] == ["torchrun", "--standalone", "--nproc-per-node=4"]


def test_steps_may_speak_with_whom_the_leader_may(made: dict[str, Object]) -> None:
    network = Network(case("retraining"), NAMESPACE)
    labels = leader(case("retraining"))["metadata"]["labels"]
    outside = End("internet", address="52.95.110.1")
    for job in made.values():
        own = job["spec"]["template"]["metadata"]["labels"]
        assert labels.items() <= own.items()
        for port in (443, 5432, 22):
            pods = (End("pod", each, NAMESPACE) for each in (labels, own))
            assert len({network.allows(pod, outside, port) for pod in pods}) == 1


def test_kubeflow_trains_in_a_runtime_of_the_charts_own(tmp_path: Path) -> None:
    objects = render(KUBEFLOW)
    job = jobs(objects, tmp_path)["gpu"]
    runtime = find(objects, "TrainingRuntime", job["spec"]["runtimeRef"]["name"])
    assert problems(job) == problems(runtime) == []
    assert runtime["spec"]["mlPolicy"] == {"numNodes": 2, "torch": {"numProcPerNode": 4}}
    (replicated,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    assert problems({"apiVersion": "batch/v1", "kind": "Job", **replicated["template"]}) == []
    (container,) = replicated["template"]["spec"]["template"]["spec"]["containers"]
    assert container["name"] == replicated["name"] == "node"
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 4
    assert job["spec"]["trainer"]["command"][0] == "torchrun"
    (role,) = (each for each in of_kind(objects, "Role") if each["metadata"]["name"] == "copyist-retrain")
    assert rights(role) == called((*JOBS, *TRAIN_JOBS))


@pytest.mark.parametrize(
    ("retraining", "told"),
    [
        ({"gpu": {"nodes": 2}}, "a Job trains on one machine"),
        ({"storage": {"create": False}}, "retraining.storage has no claim"),
    ],
)
def test_what_cannot_work_is_refused(retraining: dict[str, Any], told: str) -> None:
    with pytest.raises(helm.HelmRenderError, match=told):
        render(merged(CASES["retraining"], {"retraining": retraining}))


def test_models_runs_elsewhere_than_on_the_volume_are_refused() -> None:
    with pytest.raises(helm.HelmRenderError, match="not on the volume of retraining"):
        render(merged(CASES["retraining"], {"settings": {"runsFolder": "/tmp/runs"}}))
