"""The steps of a run as Jobs of a cluster, whose commands really run; the network trained by two ranks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipelines.retraining.cluster import ClusterRunner
from pipelines.retraining.plan import BY_NAME
from pipelines.retraining.results import WEIGHTS
from pipelines.retraining.run import Run, Start, StepState
from services.cluster.connection import Cluster
from tests.cluster.api_server import ApiServer
from tests.cluster.kubelet import running
from tests.cluster.test_cluster_runner import train_job, write
from tests.pipelines.retraining.runs import TINY, Place


@pytest.mark.slow
def test_data_is_made_by_jobs_and_learnt_from_by_two_ranks_of_a_train_job(
    place: Place, tmp_path: Path, api: ApiServer, cluster: Cluster
) -> None:
    run = place.run(budget=replace(TINY, batch=2), release=False)
    Run.create(run.folder, replace(run.record, start=Start.SCRATCH))
    said: list[str] = []
    with running(api) as kubelet:
        runner = ClusterRunner(cluster, write(tmp_path / "manifests", train_job()), look_s=1)
        for name in ("collect", "build", "train"):
            runner.run(BY_NAME[name], run, said.append)
    for name in ("collect", "build", "train"):
        step = run.step(name)
        assert step and (step.state, step.attempts) == (StepState.DONE, 1)
    assert "TrainJob retrain-tiny-train started" in said
    assert kubelet.commands[-1] == ["torchrun", "-m", "pipelines.retraining.steps.train", str(run.folder)]
    assert torch.load(run.output("train") / WEIGHTS)["step"] == TINY.steps
    # One of the two ranks reports, and each step once.
    reported = [line for line in said if line.startswith("step ")]
    assert reported and len({line.split()[1] for line in reported}) == len(reported)
