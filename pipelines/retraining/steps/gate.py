"""Holds the candidate to the gates, beside the champion: `verdict.json` and a report."""

from __future__ import annotations

from pipelines.evaluation.gates.gate import gate
from pipelines.registry.retraining import open_run
from pipelines.retraining.results import VERDICT
from pipelines.retraining.step import Workplace, main


def run(work: Workplace) -> None:
    """Judge."""
    verdict = gate(
        work.record.model, work.champion, work.read("profile"), work.record.budget.evaluated or None
    )
    (work.folder / VERDICT).write_text(verdict.encode(), "utf-8")
    print(verdict.reason, flush=True)
    registry, mlflow_run = open_run(work.run)
    registry.log(
        mlflow_run, tags={"verdict": "passed" if verdict.passed else "refused", "reason": verdict.reason}
    )
    registry.keep(mlflow_run, [path for path in work.folder.iterdir() if path.is_file()], "gate")


if __name__ == "__main__":
    main("gate", run)
