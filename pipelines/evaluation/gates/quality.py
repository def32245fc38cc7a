"""Whether a candidate is worse than the champion anywhere, beyond noise."""

from __future__ import annotations

from typing import Final

from pipelines.evaluation.gates.comparison import FEWEST_PIECES, WHOLE, Comparison, Difference
from pipelines.evaluation.gates.verdicts import Budgets, Finding

#: Standard errors below the mean that a single figure lies above with a probability of 95 %.
_ONE_SIDED: Final = 1.645


def quality(comparison: Comparison, budgets: Budgets) -> list[Finding]:
    """Hold every figure of a comparison to the budgets.

    A candidate fails where a mean has fallen, by more than its budget, with the confidence of the comparison
    for all figures together; and where the pieces are too few to rule out a large fall over a whole test set.
    The second asks each figure by itself: a candidate must pass all of these, so many make it no easier.
    """
    judged = [each for each in comparison.differences if each.judged]
    findings = [_fallen(each, budgets, comparison) for each in judged if each.high < -_budget(each, budgets)]
    fallen = {(each.test_set, each.measure) for each in judged if each.high < -_budget(each, budgets)}
    for each in comparison.differences:
        possible = _ONE_SIDED * each.error - each.difference
        known = (each.test_set, each.measure) in fallen
        if each.slice == WHOLE and possible > budgets.unproven_loss and not known:
            findings.append(_unproven(each, possible, budgets))
    if findings:
        return findings
    if not judged:
        return [Finding("quality", False, f"No test set has at least {FEWEST_PIECES} pieces.")]
    return [_passed(comparison, judged)]


def _budget(difference: Difference, budgets: Budgets) -> float:
    return budgets.loss if difference.slice == WHOLE else budgets.slice_loss


def _figures(difference: Difference) -> dict[str, float]:
    return {
        "champion": difference.champion,
        "candidate": difference.candidate,
        "difference": difference.difference,
        "low": difference.low,
        "high": difference.high,
        "pieces": float(difference.pieces),
    }


def _fallen(difference: Difference, budgets: Budgets, comparison: Comparison) -> Finding:
    text = (
        f"{difference.measure} on {difference.where} fell from {difference.champion:.3f} to "
        f"{difference.candidate:.3f}: by {-difference.difference:.3f}, and by at least "
        f"{-difference.high:.3f} with {comparison.confidence:.0%} confidence ({difference.pieces} pieces); "
        f"{_budget(difference, budgets):.3f} is allowed."
    )
    return Finding("quality", False, text, _figures(difference))


def _unproven(difference: Difference, possible: float, budgets: Budgets) -> Finding:
    text = (
        f"{difference.measure} on {difference.where} may have fallen by {possible:.3f} (from "
        f"{difference.champion:.3f} to {difference.candidate:.3f} on {difference.pieces} pieces), and "
        f"{budgets.unproven_loss:.3f} must be ruled out: evaluate on more pieces."
    )
    return Finding("quality", False, text, {**_figures(difference), "possible": possible})


def _passed(comparison: Comparison, judged: list[Difference]) -> Finding:
    worst = min(judged, key=lambda each: each.high)
    text = (
        f"Nothing fell beyond noise in {len(judged)} figures; the nearest to it is {worst.measure} on "
        f"{worst.where}: {worst.difference:+.3f} ({worst.low:+.3f} to {worst.high:+.3f}, {worst.pieces} "
        "pieces)."
    )
    return Finding("quality", True, text, _figures(worst))
