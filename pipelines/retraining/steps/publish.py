"""Publishes the candidate as the model's next version, and registers it: `version.json`."""

from __future__ import annotations

from dataclasses import asdict

from pipelines.registry.registry import CANDIDATE
from pipelines.registry.retraining import open_run
from pipelines.retraining.results import VERSION
from pipelines.retraining.run import write_json
from pipelines.retraining.step import Workplace, artefacts, main
from services.runtime.release.manifest import ModelVersion


def run(work: Workplace) -> None:
    """Publish, once, whatever becomes of this process."""
    version = _published(work) or artefacts().publish(work.record.model, work.read("profile"), _note(work))
    print(f"{work.record.model} {version.number} is published", flush=True)
    registry, mlflow_run = open_run(work.run)
    registry.register(work.record.model, artefacts(), {version.number: mlflow_run})
    registry.set_alias(work.record.model, CANDIDATE, version.number)
    registry.log(mlflow_run, tags={"version": version.number})
    write_json(work.folder / VERSION, asdict(version))


def _note(work: Workplace) -> str:
    return f"made by run {work.run.id}"


def _published(work: Workplace) -> ModelVersion | None:
    """The version that an interrupted attempt has published already."""
    model = work.record.model
    for version in reversed(artefacts().versions(model)):
        if artefacts().index(model, version.number).note == _note(work):
            return version
    return None


if __name__ == "__main__":
    main("publish", run)
