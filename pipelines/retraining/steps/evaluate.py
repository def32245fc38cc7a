"""Evaluates candidate and champion on the fixed test sets that this machine has: `evaluations.json`."""

from __future__ import annotations

from pathlib import Path

from pipelines.evaluation.gates.evaluate import evaluate_all
from pipelines.evaluation.gates.evaluations import encode_all
from pipelines.retraining.results import EVALUATED_CANDIDATE, EVALUATED_CHAMPION
from pipelines.retraining.step import Workplace, main


def run(work: Workplace) -> None:
    """Evaluate."""
    limit = work.record.budget.evaluated or None
    folders: dict[str, Path] = {
        EVALUATED_CHAMPION: work.champion,
        EVALUATED_CANDIDATE: work.read("profile"),
    }
    for name, folder in folders.items():
        evaluations = evaluate_all(work.record.model, folder, limit)
        (work.folder / name).write_text(encode_all(evaluations), "utf-8")
        for each in evaluations:
            means = "  ".join(f"{measure} {mean:.4f}" for measure, mean in each.means().items())
            print(f"{name.removesuffix('.json')} on {each.test_set}: {means}", flush=True)


if __name__ == "__main__":
    main("evaluate", run)
