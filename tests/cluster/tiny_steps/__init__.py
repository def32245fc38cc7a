"""Steps of a run for tests of what runs them: `python -m tests.cluster.tiny_steps.NAME RUN_FOLDER`.

`make` writes a number; `twice` reads it, in rounds until it is told that it is enough, and goes on with what
an earlier attempt left; `broken` fails in its own words.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipelines.retraining import step as steps
from pipelines.retraining.budgets import BUDGETS
from pipelines.retraining.environment import Environment
from pipelines.retraining.plan import BY_NAME, Needs, Step
from pipelines.retraining.run import OUTCOME, Run, RunRecord, Start, write_json
from services.errors import InputError
from services.runtime.release.manifest import ModelVersion


@dataclass(frozen=True, slots=True)
class TinyStep(Step):
    """A step of this module."""

    @property
    def module(self) -> str:
        """What is run of it."""
        return f"tests.cluster.tiny_steps.{self.name}"


MAKE = TinyStep("make")
TWICE = TinyStep("twice", ("make",), needs=Needs.GPU)
BROKEN = TinyStep("broken")
FLOW = (MAKE, TWICE)


def tiny_run(folder: Path, name: str = "piano-7") -> Run:
    """A run that has not begun."""
    record = RunRecord(
        id=name,
        model="piano",
        reason="a test",
        seed=1,
        budget=BUDGETS["piano"]["small"],
        start=Start.SCRATCH,
        champion=ModelVersion("1", "0" * 64),
        data=(),
        release=False,
        commit="",
        environment=Environment.here(),
        began=datetime.now(UTC),
    )
    return Run.create(folder / name, record)


def make(place: steps.Workplace) -> None:
    """Write a number."""
    print("making a number", flush=True)
    (place.folder / "number").write_text("21")


def twice(place: steps.Workplace) -> None:
    """Double it, in rounds, until there is a file `enough` in the run's folder."""
    if int(os.environ.get("RANK", "0")):
        return  # beside the one that leads there is nothing to do
    done = place.folder / "_rounds"
    number = int(done.read_text()) if done.exists() else 0
    while number == 0 or not (place.run.folder / "enough").exists():
        number += 1
        print(f"round {number}", flush=True)
        time.sleep(0.1)
        write_json(done, number)
    number = 2 * int((place.read("make") / "number").read_text())
    (place.folder / "number").write_text(str(number))
    write_json(place.run.folder / OUTCOME, {"state": "kept", "text": f"kept: {number}"})


def broken(place: steps.Workplace) -> None:
    """Fail."""
    raise InputError("There is no number to learn from.", remedy="Give one.")


def main(name: str) -> None:
    """Do a step of this module."""
    for step in (MAKE, TWICE, BROKEN):
        BY_NAME[step.name] = step
    steps.main(name, {"make": make, "twice": twice, "broken": broken}[name])
