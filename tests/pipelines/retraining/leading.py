"""Leads a run in a process that ends suddenly in the middle of each step, the first time it comes there.

`python -m tests.pipelines.retraining.leading FOLDER`: the steps are the run's own in number and order, but do
no more than note that they were done. `effects` in the folder counts what must happen once.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from pipelines.retraining.flow import lead
from pipelines.retraining.plan import Step
from pipelines.retraining.results import VERDICT
from pipelines.retraining.run import OUTCOME, Run, write_json
from pipelines.retraining.runner import Say
from pipelines.retraining.step import Workplace, do


class DyingRunner:
    """Runs steps that do next to nothing, and ends this process within each, once."""

    def run(self, step: Step, run: Run, say: Say) -> None:
        """Run a step; see `Runner`."""
        do(step, run, lambda work: _work(step, work))
        # The step is done, but DBOS does not know yet.
        _die_once(run, f"{step.name} after")


def _work(step: Step, work: Workplace) -> None:
    _die_once(work.run, step.name)
    with (work.run.folder / "effects").open("a") as effects:
        effects.write(f"{step.name}\n")
    read = {name: json.loads((work.read(name) / "result.json").read_text()) for name in step.reads}
    write_json(work.folder / "result.json", {"step": step.name, "read": sorted(read)})
    if step.name == "gate":
        write_json(work.folder / VERDICT, {"passed": True})
    if step.name == "outcome":
        write_json(work.run.folder / OUTCOME, {"state": "promoted", "text": "promoted: piano 2"})


def _die_once(run: Run, where: str) -> None:
    deaths = run.folder / "deaths"
    told = deaths.read_text().splitlines() if deaths.exists() else []
    if where in told or where not in (run.folder / "die").read_text().splitlines():
        return
    with deaths.open("a") as file:
        file.write(f"{where}\n")
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    print(
        lead(Run(folder), DyingRunner(), lambda step, line: None, f"sqlite:///{folder}/flow.sqlite")["text"]
    )
