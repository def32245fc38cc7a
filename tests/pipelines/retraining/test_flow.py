"""The flow of a run: killed anywhere, it goes on there; one run of a model at a time."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys

import pytest

from pipelines.retraining.errors import RunUnderWayError, StepFailedError
from pipelines.retraining.flow import lead
from pipelines.retraining.plan import STEPS, Step
from pipelines.retraining.results import VERDICT
from pipelines.retraining.run import OUTCOME, Run, StepState, write_json
from pipelines.retraining.runner import Say
from pipelines.retraining.step import do
from services.triton.environment import REPOSITORY_ROOT
from tests.pipelines.retraining.runs import Place

#: After these, what they have done is done, but nobody has noted it.
AFTER = ("train", "publish")


def led(run: Run) -> subprocess.CompletedProcess[str]:
    """Lead a run in a process of its own."""
    command = [sys.executable, "-m", "tests.pipelines.retraining.leading", str(run.folder)]
    return subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY_ROOT, check=False)


@pytest.mark.slow
def test_a_run_that_is_killed_in_every_step_goes_on_there_each_time(place: Place) -> None:
    run = place.run()
    names = [step.name for step in STEPS]
    (run.folder / "die").write_text("\n".join([*names, *(f"{name} after" for name in AFTER)]))
    deaths = 0
    while (ended := led(run)).returncode == -signal.SIGKILL:
        deaths += 1
        assert deaths <= len(names) + len(AFTER)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == "promoted: piano 2"
    assert deaths == len(names) + len(AFTER)
    # Each step was begun twice, and had its effect once, in order.
    assert (run.folder / "effects").read_text().split() == names
    assert [step.name for step in run.steps()] == names
    assert {step.attempts for step in run.steps()} == {2}
    # DBOS took up one and the same workflow each time.
    with sqlite3.connect(run.folder / "flow.sqlite") as database:
        found = database.execute("select workflow_uuid, status from workflow_status").fetchall()
    assert found == [(f"{run.id}/1", "SUCCESS")]


class Scripted:
    """Runs steps that do nothing but what a test says."""

    def __init__(self, *, passed: bool = True, fails: str = "") -> None:
        self.passed = passed
        self.fails = fails
        self.ran: list[str] = []

    def run(self, step: Step, run: Run, say: Say) -> None:
        """Run a step; see `Runner`."""
        if step.name == self.fails:
            raise StepFailedError(f"{step.name} broke")
        self.ran.append(step.name)
        say("hello")
        do(step, run, lambda work: write_json(work.folder / VERDICT, {"passed": self.passed}))
        if step.name == "outcome":
            write_json(run.folder / OUTCOME, {"state": "refused", "text": "refused: too slow"})


def database(run: Run) -> str:
    return f"sqlite:///{run.folder}/flow.sqlite"


def test_what_a_gate_refuses_is_not_released(place: Place) -> None:
    run, runner = place.run(), Scripted(passed=False)
    outcome = lead(run, runner, lambda step, line: None, database(run))
    assert outcome["text"] == "refused: too slow"
    assert "gate" in runner.ran and "outcome" in runner.ran
    assert not {"publish", "canary"} & set(runner.ran)


def test_a_step_that_fails_is_taken_up_when_the_run_is_resumed(place: Place) -> None:
    run, heard = place.run(release=False), []
    with pytest.raises(StepFailedError, match="export broke"):
        lead(run, Scripted(fails="export"), lambda step, line: heard.append((step.name, line)), database(run))
    assert ("train", "hello") in heard
    again = Scripted()
    lead(run, again, lambda step, line: None, database(run))
    assert again.ran[0] == "export"
    assert again.ran[-1] == "outcome"
    # A run that has ended tells its outcome again, and does nothing more.
    assert lead(run, Scripted(fails="collect"), lambda step, line: None, database(run))["state"] == "refused"


def test_one_run_of_a_model_at_a_time(place: Place) -> None:
    first, second = place.run("first", release=False), place.run("second", release=False)

    class Meanwhile(Scripted):
        def run(self, step: Step, run: Run, say: Say) -> None:
            if step.name == "build":
                with pytest.raises(RunUnderWayError, match="run first"):
                    lead(second, Scripted(), lambda step, line: None, database(second))
            super().run(step, run, say)

    lead(first, Meanwhile(), lambda step, line: None, database(first))
    lead(second, Scripted(), lambda step, line: None, database(second))
    assert all(step.state is StepState.DONE for step in second.steps())
