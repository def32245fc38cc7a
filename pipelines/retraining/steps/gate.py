"""Holds the candidate to the gates, beside the champion: `verdict.json` and a report."""

from __future__ import annotations

from rich.console import Console

from pipelines.evaluation.gates.gate import judge
from pipelines.evaluation.gates.report import print_judgement, write_html
from pipelines.registry.retraining import open_run
from pipelines.retraining.results import VERDICT
from pipelines.retraining.step import Workplace, main


def run(work: Workplace) -> None:
    """Judge."""
    judgement = judge(
        work.record.model, work.champion, work.read("profile"), work.record.budget.evaluated or None
    )
    verdict = judgement.verdict
    (work.folder / VERDICT).write_text(verdict.encode(), "utf-8")
    if judgement.comparison is not None:
        (work.folder / "comparison.json").write_text(judgement.comparison.encode(), "utf-8")
    write_html(judgement, work.folder / "report.html")
    print_judgement(judgement, Console())
    print(verdict.reason, flush=True)
    registry, mlflow_run = open_run(work.run)
    registry.log(
        mlflow_run, tags={"verdict": "passed" if verdict.passed else "refused", "reason": verdict.reason}
    )
    registry.keep(mlflow_run, [path for path in work.folder.iterdir() if path.is_file()], "gate")


if __name__ == "__main__":
    main("gate", run)
