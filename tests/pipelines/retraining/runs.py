"""Runs of retraining as small as can be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from pipelines.retraining.budgets import Budget
from pipelines.retraining.environment import Environment
from pipelines.retraining.plan import Step
from pipelines.retraining.run import Run, RunRecord, Start
from pipelines.retraining.runner import Say
from pipelines.retraining.step import do
from services.runtime.release.artefacts import Artefacts
from services.runtime.release.board import ReleaseBoard, open_board

TINY = Budget(made=2, validation=2, profiled=2, steps=4, batch=1, side=16, evaluated=2, corpora=False)

SCORE = """<?xml version="1.0"?>
<score-partwise version="4.0">
<part-list><score-part id="P1"><part-name>Piano</part-name></score-part></part-list>
<part id="P1">{measures}</part></score-partwise>"""
_MEASURE = """<measure number="{number}">{attributes}{notes}</measure>"""
_ATTRIBUTES = """<attributes><divisions>1</divisions><time><beats>4</beats><beat-type>4</beat-type></time>
<clef><sign>G</sign><line>2</line></clef></attributes>"""
_NOTE = """<note><pitch><step>{step}</step><octave>{octave}</octave></pitch><duration>1</duration>
<type>quarter</type></note>"""


@dataclass(frozen=True)
class Place:
    """Where a test's runs, versions and releases lie."""

    folder: Path
    repository: Path

    @property
    def environment(self) -> Mapping[str, str]:
        """The settings."""
        return {
            "COPYIST_RUNS_FOLDER": str(self.folder / "runs"),
            "COPYIST_REGISTRY_URL": f"sqlite:///{self.folder}/mlflow.sqlite",
            "COPYIST_MODELS_URL": str(self.folder / "models"),
            "COPYIST_RELEASE_URL": str(self.folder / "release.json"),
            "COPYIST_MODEL_REPOSITORY": str(self.repository),
        }

    @property
    def artefacts(self) -> Artefacts:
        """The versions."""
        return Artefacts(str(self.folder / "models"), self.repository)

    @property
    def board(self) -> ReleaseBoard:
        """The release manifest."""
        return open_board(str(self.folder / "release.json"))

    @property
    def scores(self) -> Path:
        """A folder of two scores."""
        folder = self.folder / "scores"
        folder.mkdir(exist_ok=True)
        for name, steps in (("rising", "CDEFGAB"), ("falling", "BAGFEDC")):
            measures = [
                _MEASURE.format(
                    number=number,
                    attributes=_ATTRIBUTES if number == 1 else "",
                    notes="".join(
                        _NOTE.format(step=steps[(number + i) % 7], octave=4 + i % 2) for i in range(4)
                    ),
                )
                for number in range(1, 25)
            ]
            (folder / f"{name}.musicxml").write_text(SCORE.format(measures="".join(measures)))
        return folder

    def run(
        self,
        name: str = "tiny",
        *,
        budget: Budget = TINY,
        seed: int = 3,
        release: bool = True,
        runs: str = "runs",
    ) -> Run:
        """Begin a run."""
        return Run.create(
            self.folder / runs / name,
            RunRecord(
                id=name,
                model="piano",
                reason="a test",
                seed=seed,
                budget=budget,
                start=Start.CHAMPION,
                champion=self.artefacts.shipped("piano"),
                data=(str(self.scores),),
                release=release,
                commit="0123456789ab",
                environment=Environment.here(),
                began=datetime.now(UTC),
            ),
        )


class HereRunner:
    """Runs steps in this process: loading torch and MLflow for each takes longer than they do."""

    def run(self, step: Step, run: Run, say: Say) -> None:
        """Run a step; see `Runner`."""
        do(step, run, import_module(step.module).run)
