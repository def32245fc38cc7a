"""The gates on the `symbols` model: what reads worse, and what depends on where tiles begin."""

from __future__ import annotations

from pipelines.evaluation.gates.comparison import compare
from pipelines.evaluation.gates.evaluate import evaluate_all
from pipelines.evaluation.gates.models import REPOSITORY, ModelFiles
from pipelines.evaluation.gates.quality import quality
from pipelines.evaluation.gates.steadiness import batch, split
from pipelines.evaluation.gates.suites import suite_of
from pipelines.evaluation.gates.verdicts import BUDGETS
from tests import spoiled_models
from tests.pipelines.gates.conftest import LIMIT, MakeVersion

CHAMPION = REPOSITORY / "symbols"
SUITE = suite_of("symbols")


def test_noise_in_the_weights_is_stopped(make_version: MakeVersion) -> None:
    candidate = make_version("symbols", spoiled_models.noisy)
    both = [evaluate_all("symbols", folder, LIMIT) for folder in (CHAMPION, candidate)]
    findings = quality(compare(*both), BUDGETS)
    assert {finding.passed for finding in findings} == {False}
    assert {"notes", "symbols", "positions", "durations"} == set(both[0][0].means())


def test_an_answer_that_depends_on_where_tiles_begin_is_stopped(make_version: MakeVersion) -> None:
    files = ModelFiles.of(make_version("symbols", spoiled_models.position_dependent))
    (finding,) = split(SUITE, files, BUDGETS)
    assert not finding.passed
    assert batch(SUITE, files)[0].passed


def test_an_answer_that_depends_on_the_batch_is_stopped(make_version: MakeVersion) -> None:
    files = ModelFiles.of(make_version("symbols", spoiled_models.batch_dependent))
    (finding,) = batch(SUITE, files)
    assert not finding.passed
    assert "mixes the rows of a batch" in finding.text


def test_the_released_model_depends_neither_on_batches_nor_on_tiles() -> None:
    files = ModelFiles.of(CHAMPION)
    for finding in (*batch(SUITE, files), *split(SUITE, files, BUDGETS)):
        assert finding.passed, finding.text
