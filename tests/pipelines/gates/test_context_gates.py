"""Each thing that can be wrong with a candidate is found by the gate that is there for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipelines.evaluation.gates import form
from pipelines.evaluation.gates.gate import judge
from pipelines.evaluation.gates.models import REPOSITORY, ModelFiles
from pipelines.evaluation.gates.suites import suite_of
from pipelines.evaluation.gates.verdicts import Verdict
from tests import spoiled_models
from tests.pipelines.gates.conftest import LIMIT, MakeVersion

CHAMPION = REPOSITORY / "context"


def very_noisy(model: Path, to: Path) -> None:
    """Noise as large as the weights' own spread."""
    spoiled_models.noisy(model, to, share=1.0)


def verdict_on(candidate: Path) -> Verdict:
    return judge("context", CHAMPION, candidate, LIMIT).verdict


def test_an_equal_model_passes(make_version: MakeVersion) -> None:
    verdict = verdict_on(make_version("context", spoiled_models.rounded))
    assert verdict.reason == "passed all gates"
    assert {finding.gate for finding in verdict.findings} == {
        *("contract", "card", "size", "quality", "batch", "latency")
    }


@pytest.mark.parametrize(
    ("maker", "gates"),
    [
        (very_noisy, ("quality",)),
        (spoiled_models.slow, ("latency",)),
        (spoiled_models.too_large, ("size",)),
        (spoiled_models.wrong_contract, ("contract",)),
        (spoiled_models.crashing, ("contract",)),
    ],
)
def test_a_spoiled_model_is_stopped_by_the_gate_for_it_and_by_no_other(
    make_version: MakeVersion, maker: spoiled_models.Maker, gates: tuple[str, ...]
) -> None:
    verdict = verdict_on(make_version("context", maker))
    assert verdict.failed_gates == gates, verdict.reason


def test_a_model_whose_answer_depends_on_its_batch_is_stopped(make_version: MakeVersion) -> None:
    verdict = verdict_on(make_version("context", spoiled_models.batch_dependent))
    assert "batch" in verdict.failed_gates
    # The staves of a page are read in one batch, so it reads worse, too.
    assert set(verdict.failed_gates) <= {"batch", "quality"}
    assert "in a batch of" in verdict.reason


@pytest.mark.parametrize(
    ("card", "text"),
    [
        ({"licence": " "}, "says nothing under 'licence'"),
        ({"commit": "yesterday"}, "names no commit"),
        ({"sha256": "0" * 64}, "another file"),
        ({"measures": {}}, "holds no measures"),
        ({"name": "piano"}, "that of 'piano'"),
        ({"thresholds": {"onset": 1.0}}, "'onset', which nothing reads"),
    ],
)
def test_a_card_with_something_missing_is_found(
    make_version: MakeVersion, card: dict[str, Any], text: str
) -> None:
    folder = make_version("context", spoiled_models.as_it_is, **card)
    (finding,) = form.card(suite_of("context"), ModelFiles.of(folder))
    assert not finding.passed
    assert text in finding.text
