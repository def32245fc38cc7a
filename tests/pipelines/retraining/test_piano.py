"""The real steps with a small piano model: from a folder of scores to a version that serves."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch

from pipelines.evaluation.gates.verdicts import Finding, Verdict
from pipelines.registry.registry import CANDIDATE, CHAMPION, Registry
from pipelines.retraining.flow import lead
from pipelines.retraining.plan import BY_NAME, Step
from pipelines.retraining.results import VERDICT, WEIGHTS
from pipelines.retraining.run import Run, StepState
from pipelines.retraining.runner import Say
from pipelines.retraining.step import do
from services.runtime.release.index import MODEL_FILE
from services.runtime.release.manifest import NOTHING_RELEASED
from services.runtime.release.steps import apply, promote
from services.triton.environment import REPOSITORY_ROOT
from tests.pipelines.retraining.runs import TINY, HereRunner, Place
from tests.waiting import wait_for

pytestmark = pytest.mark.slow

#: The step that trains, in a process that is killed as soon as its first checkpoint is written.
KILLED_ONCE_SAVED = """
import os, runpy, signal
from pipelines.retraining.plan import BY_NAME
from pipelines.training.piano.train import Trainer

save = Trainer._save

def save_and_die(self):
    save(self)
    os.kill(os.getpid(), signal.SIGKILL)

Trainer._save = save_and_die
runpy.run_module(BY_NAME["train"].module, run_name="__main__", alter_sys=True)
"""


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums of floats depend on how many threads share them."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)


def promoted(place: Place) -> None:
    """Promote the canary as soon as there is one."""
    board = place.board
    # All steps before it come first, on a machine that may be slow.
    wait_for(lambda: board.read() != NOTHING_RELEASED, limit_s=1800)
    apply(board, lambda manifest: promote(manifest, "piano", by="a test", why="it does well"))


class PassingRunner(HereRunner):
    """Lets every candidate pass: one that has learnt nothing is rightly refused."""

    def run(self, step: Step, run: Run, say: Say) -> None:
        """Run a step; see `Runner`."""
        if step.name != "gate":
            super().run(step, run, say)
            return
        passed = Verdict("piano", (Finding("contract", True, "It was not looked at."),))
        do(step, run, lambda work: (work.folder / VERDICT).write_text(passed.encode()))


def led(place: Place, run: Run, runner: HereRunner) -> Mapping[str, Any]:
    return lead(run, runner, lambda step, line: None, f"sqlite:///{place.folder}/flow.sqlite")


def test_a_model_that_has_learnt_nothing_is_refused(place: Place) -> None:
    run = place.run()
    outcome = led(place, run, HereRunner())
    assert outcome["state"] == "refused"
    assert "gate quality: No test set has at least 8 pieces." in outcome["text"]
    assert place.board.read() == NOTHING_RELEASED
    assert [version.number for version in place.artefacts.versions("piano")] == ["1"]
    found = Registry(place.environment["COPYIST_REGISTRY_URL"]).find_run(run.id)
    assert found is not None
    assert (found.data.tags["outcome"], found.data.tags["verdict"]) == ("refused", "refused")


def test_a_folder_of_scores_becomes_a_version_that_serves(place: Place) -> None:
    run = place.run()
    promoting = threading.Thread(target=promoted, args=(place,))
    promoting.start()
    outcome = led(place, run, PassingRunner())
    promoting.join()
    assert outcome == {"state": "promoted", "text": "promoted: piano 2 (it does well)", "version": "2"}
    release = place.board.read().models["piano"]
    assert (release.stable.number, release.canary) == ("2", None)
    made = run.output("profile")
    assert place.artefacts.read("piano", release.stable, MODEL_FILE) == (made / MODEL_FILE).read_bytes()
    card = json.loads(place.artefacts.read("piano", release.stable, "card.json"))
    assert card["profile"]
    assert card["measures"]
    assert card["run"] == run.id
    assert "Given: 2 scores" in card["data"]
    _recorded(place, run)
    _published_once(place, run)


def _recorded(place: Place, run: Run) -> None:
    """MLflow has the run, its curves and figures, and the versions by their numbers."""
    registry = Registry(place.environment["COPYIST_REGISTRY_URL"])
    found = registry.find_run(run.id)
    assert found is not None
    assert found.data.tags["outcome"] == "promoted"
    assert found.data.tags["reason"] == "a test"
    assert found.data.params["seed"] == "3"
    assert {"loss/onset", "validation/onset_f1", "parity/share of values", "small/onset_f1"} <= set(
        found.data.metrics
    )
    assert found.info.status == "FINISHED"
    versions = registry.versions("piano")
    assert [str(each.version) for each in versions] == ["1", "2"]
    assert versions[1].run_id == found.info.run_id
    assert registry.aliases("piano") == {CHAMPION: "2"}
    # The champion's figures stand beside the new version's.
    assert set(registry.metrics_of("piano", "1")) & set(registry.metrics_of("piano", "2"))
    assert CANDIDATE not in registry.aliases("piano")


def _published_once(place: Place, run: Run) -> None:
    """A process that ended between publishing and noting it leaves no second version behind."""
    (run.folder / "steps" / "publish.json").unlink()
    for path in run.made.glob("publish-*/*"):
        path.unlink()
    HereRunner().run(BY_NAME["publish"], run, print)
    assert [version.number for version in place.artefacts.versions("piano")] == ["1", "2"]


def test_a_run_killed_while_it_trains_ends_with_the_same_model(place: Place) -> None:
    budget = replace(TINY, steps=12)
    whole, broken = place.run(budget=budget, runs="whole"), place.run(budget=budget, runs="broken")
    for name in ("collect", "build", "train", "export"):
        HereRunner().run(BY_NAME[name], whole, print)
    for name in ("collect", "build"):
        HereRunner().run(BY_NAME[name], broken, print)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_ONCE_SAVED, str(broken.folder)], cwd=REPOSITORY_ROOT, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert broken.step("train").state is StepState.RUNNING
    command = [sys.executable, "-m", BY_NAME["train"].module, str(broken.folder)]
    said = subprocess.run(command, cwd=REPOSITORY_ROOT, capture_output=True, text=True, check=True).stdout
    assert "resuming at step 6" in said
    HereRunner().run(BY_NAME["export"], broken, print)
    for name in ("build", "export"):
        assert broken.step(name).output == whole.step(name).output, name
    assert torch.load(broken.output("train") / WEIGHTS)["step"] == 12
