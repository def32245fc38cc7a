"""All gates, one after another: whether a candidate may take the champion's place."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from pipelines.evaluation.gates import form
from pipelines.evaluation.gates.comparison import FEWEST_PIECES, Comparison, compare
from pipelines.evaluation.gates.evaluate import evaluate
from pipelines.evaluation.gates.latency import latency
from pipelines.evaluation.gates.models import ModelFiles
from pipelines.evaluation.gates.quality import quality
from pipelines.evaluation.gates.steadiness import batch, split
from pipelines.evaluation.gates.suites import suite_of
from pipelines.evaluation.gates.verdicts import BUDGETS, Budgets, Finding, Verdict


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on a candidate, and the comparison behind it.

    Attributes:
        verdict: whether it may pass, and why.
        comparison: None where the candidate could not be asked anything.
    """

    verdict: Verdict
    comparison: Comparison | None


def judge(
    model: str, champion: Path, candidate: Path, limit: int | None = None, budgets: Budgets = BUDGETS
) -> Judgement:
    """Put a candidate through all gates.

    A candidate that does not keep to the tensor contract is asked nothing more.

    Args:
        model: its name.
        champion, candidate: folders of the versions, with `model.onnx` and `card.json`.
        limit: the most pieces of a test set; None for all, and real music too.
        budgets: what the candidate is held to.

    Raises:
        NoModelError: no such model, no version in a folder, or a champion that cannot be loaded.
    """
    suite, old, new = suite_of(model), ModelFiles.of(champion), ModelFiles.of(candidate)
    findings = [*form.contract(suite, new), *form.card(suite, new), *form.size(new, budgets)]
    if any(finding.gate == "contract" and not finding.passed for finding in findings):
        skipped = ("It was asked nothing, as it does not keep to the contract.",)
        return Judgement(_verdict(model, findings, skipped), None)
    sets, skipped_sets = suite.fixed_sets(limit)
    evaluations = [[evaluate(model, files.onnx, files.card, each) for each in sets] for files in (old, new)]
    comparison = compare(*evaluations, false_alarm=budgets.false_alarm)
    findings += quality(comparison, budgets)
    findings += batch(suite, new)
    findings += split(suite, new, budgets)
    findings += latency(suite, old, new, budgets)
    return Judgement(_verdict(model, findings, (*skipped_sets, *_unjudged(comparison))), comparison)


def gate(
    model: str, champion: Path, candidate: Path, limit: int | None = None, budgets: Budgets = BUDGETS
) -> Verdict:
    """The verdict of `judge` alone."""
    return judge(model, champion, candidate, limit, budgets).verdict


def _verdict(model: str, findings: list[Finding], skipped: tuple[str, ...]) -> Verdict:
    return Verdict(model, tuple(sorted(findings, key=lambda finding: finding.passed)), skipped)


def _unjudged(comparison: Comparison) -> tuple[str, ...]:
    small = Counter(each.where for each in comparison.differences if not each.judged)
    if not small:
        return ()
    return (f"Not judged, as they have fewer than {FEWEST_PIECES} pieces: {'; '.join(small)}.",)
