"""A step: done once, its results taken over by runs that would make the same."""

from __future__ import annotations

import fcntl
import threading
from pathlib import Path

import pytest

from pipelines.retraining.errors import NoTrainingDataError
from pipelines.retraining.plan import BY_NAME
from pipelines.retraining.run import Run, StepState
from pipelines.retraining.step import Workplace, do
from tests.pipelines.retraining.runs import Place
from tests.waiting import wait_for


def writer(text: str, made: list[str]) -> object:
    def work(place: Workplace) -> None:
        made.append(place.run.id)
        (place.folder / "result.txt").write_text(text)
        (place.folder / "_scratch").write_text(str(len(made)))

    return work


def collected(run: Run, text: str) -> None:
    do(BY_NAME["collect"], run, writer(text, []))


def built(run: Run, made: list[str]) -> Path:
    do(BY_NAME["build"], run, writer("data", made))
    return run.output("build")


def test_what_is_the_same_is_made_once(place: Place) -> None:
    made: list[str] = []
    for name in ("one", "two"):
        run = place.run(name)
        collected(run, "the same scores")
        built(run, made)
    assert made == ["one"]
    second = Run(place.folder / "runs" / "two").step("build")
    assert second is not None
    assert second.reused
    assert second.output == Run(place.folder / "runs" / "one").step("build").output


@pytest.mark.parametrize("what", ["scores", "seed"])
def test_what_another_would_come_out_of_is_made_anew(place: Place, what: str) -> None:
    made: list[str] = []
    for number, name in enumerate(("one", "two")):
        run = place.run(name, seed=number if what == "seed" else 3)
        collected(run, f"scores {number}" if what == "scores" else "the same scores")
        built(run, made)
    assert made == ["one", "two"]


def test_scratch_is_no_part_of_the_result(place: Place) -> None:
    digests = []
    for runs in ("here", "there"):
        run = place.run(runs=runs)
        do(BY_NAME["collect"], run, writer("scores", [""] * (len(digests) + 1)))
        digests.append(run.step("collect").output)
    assert digests[0] == digests[1]


def test_a_failure_is_told_and_the_step_begun_again(place: Place) -> None:
    run = place.run()

    def fails(work: Workplace) -> None:
        raise NoTrainingDataError("nothing there")

    with pytest.raises(NoTrainingDataError):
        do(BY_NAME["collect"], run, fails)
    step = run.step("collect")
    assert (step.state, step.problem) == (StepState.FAILED, "nothing there")
    collected(run, "now there is")
    assert (run.step("collect").state, run.step("collect").attempts) == (StepState.DONE, 2)


def test_a_step_that_another_process_still_runs_is_waited_for(place: Place) -> None:
    run, made = place.run(), []
    with (run.folder / "steps" / "collect.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = threading.Thread(target=do, args=(BY_NAME["collect"], run, writer("scores", made)))
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
        assert made == []
    waiting.join(60)
    assert made == [run.id]
    wait_for(lambda: run.step("collect").state is StepState.DONE)
