"""Ends a run: writes `outcome.json` beside its record, sets the aliases, and closes its record in MLflow."""

from __future__ import annotations

import json
from typing import Any

from pipelines.evaluation.gates.verdicts import Verdict
from pipelines.registry.retraining import open_run
from pipelines.retraining.results import TRIAL, VERDICT, VERSION
from pipelines.retraining.run import OUTCOME, write_json
from pipelines.retraining.step import Workplace, artefacts, main
from services.runtime.release.board import open_board
from services.runtime.settings import Settings


def run(work: Workplace) -> None:
    """End."""
    model = work.record.model
    found = _found(work)
    registry, mlflow_run = open_run(work.run)
    if "version" in found:
        manifest = open_board(Settings.from_environment().release_url).read()
        registry.follow(model, manifest.models.get(model), artefacts().shipped(model))
    registry.log(mlflow_run, tags={"outcome": found["state"], "outcome.text": found["text"]})
    registry.end(mlflow_run)
    write_json(work.folder / OUTCOME, found)
    write_json(work.run.folder / OUTCOME, found)
    print(found["text"], flush=True)


def _found(work: Workplace) -> dict[str, Any]:
    """How the run has ended: state, text in one line, and the version where one was published."""
    model = work.record.model
    verdict = Verdict.decode((work.read("gate") / VERDICT).read_text("utf-8"))
    if not verdict.passed:
        return {"state": "refused", "text": f"refused: {verdict.reason}"}
    if not work.record.release:
        return {"state": "kept", "text": f"kept: {work.read('profile')} passed the gates and is not released"}
    number = json.loads((work.read("publish") / VERSION).read_text("utf-8"))["number"]
    trial = json.loads((work.read("canary") / TRIAL).read_text("utf-8"))
    text = f"{trial['state']}: {model} {number}"
    if trial["why"]:
        text += f" ({trial['why']})"
    return {"state": trial["state"], "text": text, "version": number}


if __name__ == "__main__":
    main("outcome", run)
