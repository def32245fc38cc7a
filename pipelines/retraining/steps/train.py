"""Trains the network; its curves go to MLflow as they are drawn. Goes on from the last checkpoint.

On several GPUs: `torchrun --standalone --nproc-per-node=N -m pipelines.retraining.steps.train RUN_FOLDER`.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from pipelines.registry.curves import Curves
from pipelines.registry.retraining import open_run
from pipelines.retraining.families import family
from pipelines.retraining.results import RUN
from pipelines.retraining.step import Workplace, main


def run(work: Workplace) -> None:
    """Train."""
    (work.folder / RUN).mkdir(exist_ok=True)
    with _curves(work) if work.leads else nullcontext():
        family(work.record.model).train(
            work.read("collect"), work.read("build"), work.record, work.champion, work.folder
        )


def _curves(work: Workplace) -> AbstractContextManager[object]:
    registry, mlflow_run = open_run(work.run)
    return Curves(registry, mlflow_run, work.folder / RUN)


if __name__ == "__main__":
    main("train", run)
