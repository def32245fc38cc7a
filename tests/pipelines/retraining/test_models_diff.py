"""`copyist models diff`: where one version of a model is better or worse than another."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from pipelines.evaluation.gates.evaluate import evaluate_all
from pipelines.evaluation.gates.models import CARD, REPOSITORY
from pipelines.registry.command import models
from services.runtime.release.artefacts import Artefacts, UnknownVersionError
from services.runtime.release.index import MODEL_FILE
from tests.pipelines.retraining.runs import Place
from tests.spoiled_models import garbage

pytestmark = pytest.mark.slow

#: As few as are judged at all.
PIECES = 8
#: A version's measure, and by how much it differs.
_CELL = re.compile(r"(\d\.\d{3}) \(([+-]\d\.\d{3})\)")


@pytest.fixture
def worse(place: Place, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of what is published as version 2 of the released piano model: it has learnt nothing."""
    monkeypatch.setenv("COPYIST_MODEL_REPOSITORY", str(REPOSITORY))
    folder = place.folder / "worse"
    garbage(REPOSITORY / "piano" / "1" / MODEL_FILE, folder / MODEL_FILE)
    shutil.copyfile(REPOSITORY / "piano" / CARD, folder / CARD)
    Artefacts(place.environment["COPYIST_MODELS_URL"], REPOSITORY).publish("piano", folder, "nonsense")
    return folder


def called(*arguments: str) -> Result:
    return CliRunner().invoke(models, list(arguments), env={"COLUMNS": "160"})


def whole_set(before: str, after: str) -> np.ndarray:
    """What is told of the test set as a whole: a row for each measure, of its value and its difference."""
    result = called("diff", before, after, "--model", "piano", "--pieces", str(PIECES))
    assert result.exit_code == 0, result.output
    assert f"piano {after} (less piano {before})" in result.output
    # The slices' lines come after it.
    line = next(line for line in result.output.splitlines() if _CELL.search(line))
    return np.array(_CELL.findall(line), float)


def test_a_version_is_compared_with_another_measure_by_measure(place: Place, worse: Path) -> None:
    listed = json.loads(called("--model", "piano", "--json").stdout.splitlines()[-1])["piano"]
    assert [(each["version"], each["note"]) for each in listed] == [("1", "as shipped"), ("2", "nonsense")]
    means = [
        np.array(list(evaluation.means().values()))
        for folder in (REPOSITORY / "piano", worse)
        for evaluation in evaluate_all("piano", folder, PIECES)
    ]
    assert (means[0] > means[1] + 0.1).all()
    for before, after in (("1", "2"), ("2", "1"), ("1", "1")):
        theirs, ours = means[int(before) - 1], means[int(after) - 1]
        expected = np.column_stack([ours, ours - theirs])
        assert whole_set(before, after) == pytest.approx(expected, abs=0.001)


def test_a_version_that_is_not_there_is_told_with_those_that_are(worse: Path) -> None:
    result = called("diff", "1", "9", "--model", "piano")
    assert isinstance(result.exception, UnknownVersionError)
    assert "There are: 1, 2" in str(result.exception)
