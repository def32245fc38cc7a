"""Registers the candidate's run with MLflow: parameters, measures, plots, digests and the card."""

from __future__ import annotations

import json

from pipelines.evaluation.gates.evaluations import decode_all
from pipelines.registry.retraining import open_run
from pipelines.retraining.results import EVALUATED_CANDIDATE, PARITY
from pipelines.retraining.run import write_json
from pipelines.retraining.step import Workplace, main
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
    for evaluation in decode_all(evaluated.read_text("utf-8")):
        metrics += [(f"{evaluation.test_set}/{name}", mean, 0) for name, mean in evaluation.means().items()]
    params = {f"recipe.{name}": value for name, value in card["recipe"].items()}
    digests = {f"digest.{step.name}": step.output for step in work.run.steps() if step.output}
    registry.log(mlflow_run, metrics=metrics, params=params, tags=digests)
    trained = work.read("train")
    registry.keep(mlflow_run, [card_file, *trained.glob("*.png"), *trained.glob("*.csv")])
    registry.keep(mlflow_run, [work.run.folder / "record.json"])
    registry.keep(mlflow_run, [evaluated], "evaluation")
    write_json(work.folder / "mlflow.json", {"run": mlflow_run})


if __name__ == "__main__":
    main("register", run)
