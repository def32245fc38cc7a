"""The record of a retraining in MLflow."""

from __future__ import annotations

from pipelines.registry.registry import Registry
from pipelines.retraining.run import Run
from services.runtime.settings import Settings


def open_registry() -> Registry:
    """The registry of this place."""
    return Registry(Settings.from_environment().registry_url)


def open_run(run: Run) -> tuple[Registry, str]:
    """The registry, and MLflow's name of a run; recorded there now if it is not yet."""
    registry, record = open_registry(), run.record
    params = {
        "model": record.model,
        "seed": record.seed,
        "start": record.start,
        "champion": record.champion.number,
        **{f"budget.{name}": value for name, value in record.budget.to_json().items()},
    }
    tags = {
        "reason": record.reason,
        "commit": record.commit,
        "data": ", ".join(record.data),
        "folder": str(run.folder),
        "environment.python": record.environment.python,
        "environment.packages": record.environment.packages,
        "environment.machine": record.environment.machine,
    }
    return registry, registry.run(run.id, record.model, params, tags)
