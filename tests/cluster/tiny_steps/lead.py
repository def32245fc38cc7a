"""Leads a tiny run: `python -m tests.cluster.tiny_steps.lead RUN_FOLDER MANIFESTS`."""

import sys
from pathlib import Path

from pipelines.retraining import flow
from pipelines.retraining.cluster import ClusterRunner
from pipelines.retraining.cluster_manifests import StepManifests
from pipelines.retraining.run import Run
from services.cluster.connection import connect
from tests.cluster.tiny_steps import FLOW

if __name__ == "__main__":
    run = Run(Path(sys.argv[1]))
    flow.STEPS = FLOW  # type: ignore[misc]
    runner = ClusterRunner(connect(), StepManifests(Path(sys.argv[2])), look_s=1)
    outcome = flow.lead(
        run,
        runner,
        lambda step, line: print(step.name, line, flush=True),
        f"sqlite:///{run.folder.parent}/flow.sqlite",
    )
    print(outcome["text"])
