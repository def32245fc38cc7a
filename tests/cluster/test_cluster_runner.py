"""Steps of retraining as Jobs: run to their end, followed after a lost leader, told when they fail."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.retraining.cluster import ClusterRunner, position_of
from pipelines.retraining.cluster_manifests import BadManifestError, StepManifests, name_of
from pipelines.retraining.errors import StepFailedError
from pipelines.retraining.plan import BY_NAME
from pipelines.retraining.run import Run, StepState
from services.cluster import rules
from services.cluster.connection import Cluster
from services.cluster.errors import JobNameTakenError
from services.cluster.pods import LogPosition
from tests.cluster.api_server import ApiServer
from tests.cluster.kubelet import ROOT, Kubelet, running
from tests.cluster.manifests import kubeconfig, rights
from tests.cluster.tiny_steps import BROKEN, MAKE, TWICE, tiny_run
from tests.waiting import wait_for, when


def manifest(gpus: int) -> dict[str, Any]:
    limits = {"nvidia.com/gpu": gpus} if gpus else {"memory": "2Gi"}
    container = {"name": "step", "image": "copyist-training:0.1.0", "resources": {"limits": limits}}
    labels = {"app.kubernetes.io/component": "retrain"}
    pod = {"restartPolicy": "Never", "containers": [container]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "step", "labels": labels},
        "spec": {"backoffLimit": 1, "template": {"metadata": {"labels": labels}, "spec": pod}},
    }


def train_job() -> dict[str, Any]:
    runtime = {"apiGroup": "trainer.kubeflow.org", "kind": "TrainingRuntime", "name": "copyist-train"}
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": {"name": "step"},
        "spec": {"runtimeRef": runtime},
    }


def write(folder: Path, gpu: dict[str, Any]) -> StepManifests:
    folder.mkdir(exist_ok=True)
    for name, body in (("cpu", manifest(0)), ("gpu", gpu)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(body))
    return StepManifests(folder)


@pytest.fixture
def manifests(tmp_path: Path) -> StepManifests:
    """What the chart writes, with one GPU for what needs one."""
    return write(tmp_path / "manifests", manifest(1))


@pytest.fixture
def kubelet(api: ApiServer) -> Iterator[Kubelet]:
    """Runs the Jobs of the API server as processes."""
    with running(api) as kubelet:
        yield kubelet


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run that has not begun."""
    return tiny_run(tmp_path / "runs")


@pytest.fixture
def runner(cluster: Cluster, manifests: StepManifests) -> ClusterRunner:
    return ClusterRunner(cluster, manifests, look_s=1)


class TestManifests:
    def test_a_step_is_the_charts_job_with_its_command_and_labels(
        self, run: Run, manifests: StepManifests, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COPYIST_RETRAIN_JOB_NAME", "copyist-retrain-piano-1")
        monkeypatch.setenv("COPYIST_RETRAIN_JOB_UID", "0a1b")
        job = manifests.of(BY_NAME["build"], run).manifest
        assert job["metadata"]["name"] == "retrain-piano-7-build"
        labels = {"copyist.io/run": "piano-7", "copyist.io/step": "build", "copyist.io/model": "piano"}
        expected = {"app.kubernetes.io/component": "retrain", **labels}
        assert job["metadata"]["labels"] == job["spec"]["template"]["metadata"]["labels"] == expected
        container = job["spec"]["template"]["spec"]["containers"][0]
        module = "pipelines.retraining.steps.build"
        assert container["command"] == ["python", "-m", module, str(run.folder)]
        (owner,) = job["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["uid"]) == ("Job", "copyist-retrain-piano-1", "0a1b")

    @pytest.mark.parametrize(
        ("gpus", "launcher"),
        [(0, ["python"]), (1, ["python"]), (4, ["torchrun", "--standalone", "--nproc-per-node=4"])],
    )
    def test_several_gpus_are_trained_on_by_torchs_launcher(
        self, run: Run, tmp_path: Path, gpus: int, launcher: list[str]
    ) -> None:
        job = write(tmp_path / "m", manifest(gpus)).of(BY_NAME["train"], run).manifest
        command = job["spec"]["template"]["spec"]["containers"][0]["command"]
        assert command == [*launcher, "-m", "pipelines.retraining.steps.train", str(run.folder)]

    def test_kubeflow_tells_the_launcher_where_to_meet(self, run: Run, tmp_path: Path) -> None:
        job = write(tmp_path / "m", train_job()).of(BY_NAME["train"], run)
        assert job.kind.plural == "trainjobs"
        command = ["torchrun", "-m", "pipelines.retraining.steps.train", str(run.folder)]
        assert job.manifest["spec"]["trainer"] == {"command": command}

    def test_long_names_of_runs_are_shortened_and_stay_apart(self, tmp_path: Path) -> None:
        names = {name_of(BY_NAME["train"], tiny_run(tmp_path, "r" * 40 + end)) for end in ("a", "b")}
        assert len(names) == 2
        assert all(len(name) <= 48 for name in names)

    @pytest.mark.parametrize("text", [None, "[1, 2", "kind: Pod", "apiVersion: v1\nkind: Pod"])
    def test_what_is_no_job_is_told(self, run: Run, tmp_path: Path, text: str | None) -> None:
        if text is not None:
            (tmp_path / "cpu.yaml").write_text(text)
        with pytest.raises(BadManifestError, match=r"cpu\.yaml is no manifest of a Job"):
            StepManifests(tmp_path).of(MAKE, run)


class TestRunning:
    def test_a_step_runs_as_a_job_and_its_lines_are_told_and_kept(
        self, api: ApiServer, kubelet: Kubelet, runner: ClusterRunner, run: Run
    ) -> None:
        api.rights = rights(*rules.JOBS)
        said: list[str] = []
        runner.run(MAKE, run, said.append)
        assert said == ["Job retrain-piano-7-make started", "making a number"]
        assert run.log("make").read_text().endswith("Z making a number\n")
        assert (run.output("make") / "number").read_text() == "21"
        runner.run(MAKE, run, said.append)  # done already: the Job says so and nothing is made again
        assert said[-1] == "make is done"

    def test_a_step_that_fails_is_told_in_its_own_words(
        self, kubelet: Kubelet, runner: ClusterRunner, run: Run
    ) -> None:
        with pytest.raises(StepFailedError, match="There is no number to learn from") as raised:
            runner.run(BROKEN, run, lambda _: None)
        assert "--resume piano-7" in raised.value.remedy
        assert len(kubelet.commands) == 2  # as often as the manifest allows
        assert run.log("broken").read_text().count("There is no number to learn from") == 2

    def test_a_pod_that_is_evicted_is_told_and_the_next_one_goes_on(
        self, kubelet: Kubelet, runner: ClusterRunner, run: Run
    ) -> None:
        runner.run(MAKE, run, lambda _: None)
        said: list[str] = []

        def tell(line: str) -> None:
            said.append(line)
            if line == "round 2" and said.count(line) == 1:
                kubelet.evict(kubelet.pods()[0])
            if line == "round 12":
                (run.folder / "enough").touch()

        runner.run(TWICE, run, tell)
        assert any("Evicted: The node was low on resource: memory" in line for line in said)
        assert said.count("round 1") == 1  # the second pod goes on where the first one was
        assert "round 12" in said
        assert (run.output("twice") / "number").read_text() == "42"

    def test_a_job_that_someone_deletes_is_told(
        self,
        api: ApiServer,
        kubelet: Kubelet,
        runner: ClusterRunner,
        run: Run,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        runner.run(MAKE, run, lambda _: None)

        def tell(line: str) -> None:
            if line == "round 1":
                runner.cancel(run)

        with pytest.raises(StepFailedError, match="was deleted before it ended"):
            runner.run(TWICE, run, tell)
        wait_for(lambda: not kubelet.pods())
        assert api.names("jobs") == api.names("pods") == []
        record = run.step("twice")
        assert record and record.state is StepState.RUNNING

    def test_a_failed_job_makes_room_for_the_next_try(
        self,
        api: ApiServer,
        kubelet: Kubelet,
        runner: ClusterRunner,
        run: Run,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        for _ in range(2):
            with pytest.raises(StepFailedError):
                runner.run(BROKEN, run, lambda _: None)
        assert len(kubelet.commands) == 4
        assert api.names("jobs") == ["retrain-piano-7-broken"]

    def test_a_strangers_job_of_the_name_is_left_alone(
        self, api: ApiServer, runner: ClusterRunner, run: Run
    ) -> None:
        api.put("jobs", {"metadata": {"name": "retrain-piano-7-make"}})
        with pytest.raises(JobNameTakenError, match="not of run piano-7"):
            runner.run(MAKE, run, lambda _: None)

    def test_a_pod_that_waits_says_why(self, api: ApiServer, runner: ClusterRunner, run: Run) -> None:
        said: list[str] = []
        name = "retrain-piano-7-make"
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
        }

        failed = {
            "type": "Failed",
            "status": "True",
            "reason": "DeadlineExceeded",
            "message": "Too long.",
        }

        def wait_in_vain() -> None:
            api.add_pod(name, f"{name}-1", "", phase="Pending")
            api.set_status("pods", f"{name}-1", conditions=[condition])

        waiting = when(lambda: name in api.names("jobs"), wait_in_vain)
        failing = when(lambda: len(said) == 2, lambda: api.set_job(name, failed=0, conditions=[failed]))
        with pytest.raises(StepFailedError, match=r"DeadlineExceeded: Too long; pod .*Insufficient nvidia"):
            runner.run(MAKE, run, said.append)
        waiting.join()
        failing.join()
        waits = f"pod {name}-1: Unschedulable: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu"
        assert said == [f"Job {name} started", waits]


class TestLosingTheLeader:
    def test_another_leader_follows_the_job_that_runs(
        self, api: ApiServer, kubelet: Kubelet, run: Run, manifests: StepManifests, tmp_path: Path
    ) -> None:
        def lead() -> subprocess.Popen[str]:
            command = [sys.executable, "-m", "tests.cluster.tiny_steps.lead", str(run.folder)]
            return subprocess.Popen(
                [*command, str(tmp_path / "manifests")],
                env={**os.environ, "KUBECONFIG": str(kubeconfig(api, tmp_path)), "PYTHONPATH": str(ROOT)},
                cwd=ROOT,
                stdout=subprocess.PIPE,
                text=True,
            )

        log = run.log("twice")
        with lead() as first:
            wait_for(lambda: log.exists() and "round 5\n" in log.read_text(), 180)
            first.kill()
        with lead() as second:
            said = []
            for line in second.stdout or ():
                said.append(line)
                if "Job retrain-piano-7-twice is there already: following it" in line:
                    (run.folder / "enough").touch()
        assert second.returncode == 0
        assert not any(line.startswith("make") for line in said)
        assert said[-1] == "kept: 42\n"
        assert len(kubelet.commands) == 2  # neither step was begun twice
        told = [line.partition(" ")[2] for line in log.read_text().splitlines()]
        rounds = [line for line in told if line.startswith("round")]
        assert rounds == [f"round {number + 1}" for number in range(len(rounds))]


def test_the_place_in_a_log_is_found_again(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    assert position_of(log) == LogPosition()
    first, second = "2026-11-21T10:00:00.500000000Z", "2026-11-21T10:00:01.000000000Z"
    log.write_text(f"{first} a\n{second} b\n{second} c\nno moment at all\n")
    assert position_of(log) == LogPosition(second, 2)
