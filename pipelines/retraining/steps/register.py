"""Registers the candidate's run with MLflow: parameters, measures, plots, digests and the card."""

from __future__ import annotations

import json
from pathlib import Path

from pipelines.evaluation.gates.evaluations import decode_all
from pipelines.registry.registry import Registry
from pipelines.registry.retraining import open_run
from pipelines.retraining.results import EVALUATED_CANDIDATE, EVALUATED_CHAMPION, PARITY
from pipelines.retraining.run import write_json
from pipelines.retraining.step import Workplace, artefacts, main
from services.runtime.release.index import CARD_FILE


def run(work: Workplace) -> None:
    """Register."""
    registry, mlflow_run = open_run(work.run)
    card_file = work.read("profile") / CARD_FILE
    card = json.loads(card_file.read_text("utf-8"))
    parity = json.loads((work.read("parity") / PARITY).read_text("utf-8"))
    evaluated = work.read("evaluate") / EVALUATED_CANDIDATE
    metrics = [(f"parity/{name}", value, 0) for name, value in parity.items()]
    metrics += [(f"cost/{name}", value, 0) for name, value in card["cost"].items()]
    metrics += _means(evaluated)
    params = {f"recipe.{name}": value for name, value in card["recipe"].items()}
    digests = {f"digest.{step.name}": step.output for step in work.run.steps() if step.output}
    registry.log(mlflow_run, metrics=metrics, params=params, tags=digests)
    trained = work.read("train")
    registry.keep(mlflow_run, [card_file, *trained.glob("*.png"), *trained.glob("*.csv")])
    registry.keep(mlflow_run, [work.run.folder / "record.json"])
    registry.keep(mlflow_run, [evaluated], "evaluation")
    write_json(work.folder / "mlflow.json", {"run": mlflow_run})
    _beside(work, registry)


def _means(evaluated: Path) -> list[tuple[str, float, int]]:
    return [
        (f"{evaluation.test_set}/{name}", mean, 0)
        for evaluation in decode_all(evaluated.read_text("utf-8"))
        for name, mean in evaluation.means().items()
    ]


def _beside(work: Workplace, registry: Registry) -> None:
    """Register what the champion reached on the same pieces, where nobody has yet."""
    model, number = work.record.model, work.record.champion.number
    registry.register(model, artefacts())
    mlflow_run = next(each.run_id for each in registry.versions(model) if str(each.version) == number)
    means = _means(work.read("evaluate") / EVALUATED_CHAMPION)
    if not {name for name, _, _ in means} & set(registry.metrics_of(model, number)):
        registry.log(mlflow_run, metrics=means)


if __name__ == "__main__":
    main("register", run)
