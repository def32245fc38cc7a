"""Trains the network; its curves go to MLflow as they are drawn. Goes on from the last checkpoint."""

from __future__ import annotations

from pipelines.registry.curves import Curves
from pipelines.registry.retraining import open_run
from pipelines.retraining.families import family
from pipelines.retraining.results import RUN
from pipelines.retraining.step import Workplace, main


def run(work: Workplace) -> None:
    """Train."""
    registry, mlflow_run = open_run(work.run)
    (work.folder / RUN).mkdir(exist_ok=True)
    with Curves(registry, mlflow_run, work.folder / RUN):
        family(work.record.model).train(
            work.read("collect"), work.read("build"), work.record, work.champion, work.folder
        )


if __name__ == "__main__":
    main("train", run)
