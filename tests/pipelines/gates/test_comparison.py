"""Two evaluations compared: what the intervals mean, and that nothing unlike is compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipelines.evaluation.gates.comparison import IncomparableError, compare
from pipelines.evaluation.gates.evaluations import Evaluation, PieceScores, decode_all, encode_all
from pipelines.evaluation.gates.quality import quality
from pipelines.evaluation.gates.verdicts import BUDGETS

SLICES = {"instrument": ("grand", "upright"), "polyphony": ("thin", "medium", "thick")}
MEASURES = ("onset_f1", "offset_f1", "frame_f1")


def pair(seed: int, pieces: int, fall: float = 0.0, only: str | None = None) -> tuple[Evaluation, Evaluation]:
    """Two models on the same pieces, each with noise of its own; the second worse by `fall`, where said."""
    random = np.random.default_rng(seed)
    sides: tuple[list[PieceScores], list[PieceScores]] = ([], [])
    for number in range(pieces):
        slices = {name: str(random.choice(values)) for name, values in SLICES.items()}
        ease = random.beta(12, 3)
        # Measures of one piece err together; some pieces err ten times as far as others.
        spread = 0.02 * random.choice([0.3, 1.0, 3.0], p=[0.5, 0.4, 0.1])
        lost = fall if only is None or only in slices.values() else 0.0
        for side, loss in zip(sides, (0.0, lost), strict=True):
            together = random.normal(0, spread)
            noise = together + random.normal(0, spread / 2, len(MEASURES))
            values = np.clip(ease + noise - loss, 0, 1)
            side.append(PieceScores(str(number), slices, dict(zip(MEASURES, values.tolist(), strict=True))))
    champion = Evaluation("piano", "a" * 64, "held-out", "c" * 64, tuple(sides[0]))
    return champion, replace(champion, digest="b" * 64, pieces=tuple(sides[1]))


def share_stopped(runs: int, pieces: int, fall: float = 0.0, only: str | None = None) -> float:
    stopped = 0
    for seed in range(runs):
        champion, candidate = pair(seed, pieces, fall, only)
        findings = quality(compare([champion], [candidate]), BUDGETS)
        stopped += not all(finding.passed for finding in findings)
    return stopped / runs


def share_missed(runs: int, pieces: int) -> float:
    """How often the truth (no difference at all) lies above any upper end of the intervals."""
    missed = 0
    for seed in range(runs):
        comparison = compare(*([each] for each in pair(seed, pieces)))
        missed += any(each.high < 0 for each in comparison.differences if each.judged)
    return missed / runs


def test_an_equal_model_passes_and_a_worse_one_is_stopped() -> None:
    assert share_stopped(60, 60) <= 0.05
    assert share_stopped(60, 60, fall=0.03) >= 0.95


def test_a_fall_in_one_slice_alone_is_seen() -> None:
    assert share_stopped(40, 120, fall=0.06, only="thick") >= 0.95


def test_intervals_hold_for_all_figures_together() -> None:
    # Of 150 runs 7.5 are expected to miss; 17 or more have a chance of 1 in 1000.
    assert share_missed(150, 60) < 17 / 150


def test_the_same_scores_differ_nowhere() -> None:
    champion, _ = pair(1, 30)
    comparison = compare([champion], [replace(champion, digest="b" * 64)])
    assert all(each.low == each.high == each.difference == 0 for each in comparison.differences)


def test_a_difference_without_any_spread_is_certain() -> None:
    champion, _ = pair(1, 30)
    worse = tuple(
        replace(piece, measures={name: value - 0.02 for name, value in piece.measures.items()})
        for piece in champion.pieces
    )
    comparison = compare([champion], [replace(champion, pieces=worse)])
    assert all(each.high == pytest.approx(-0.02) for each in comparison.differences)
    assert not quality(comparison, BUDGETS)[0].passed


def test_slices_of_few_pieces_are_shown_and_not_judged() -> None:
    champion, candidate = pair(3, 12)
    differences = compare([champion], [candidate]).differences
    assert {each.judged for each in differences if each.pieces < 8} == {False}
    assert {each.judged for each in differences if each.slice == "all"} == {True}


def test_too_few_pieces_to_tell_are_no_proof() -> None:
    champion, candidate = pair(2, 3)
    (finding,) = quality(compare([champion], [candidate]), BUDGETS)
    assert not finding.passed
    assert "at least 8 pieces" in finding.text


def test_a_large_fall_that_cannot_be_ruled_out_stops_a_candidate() -> None:
    champion, candidate = pair(2, 9)
    shaky = tuple(
        replace(piece, measures={"onset_f1": piece.measures["onset_f1"] + (-0.3 if index % 2 else 0.28)})
        for index, piece in enumerate(candidate.pieces)
    )
    (finding,) = quality(compare([champion], [replace(candidate, pieces=shaky)]), BUDGETS)
    assert not finding.passed
    assert "evaluate on more pieces" in finding.text
    assert finding.figures["possible"] > BUDGETS.unproven_loss


def test_a_finding_tells_where_and_by_how_much() -> None:
    champion, candidate = pair(5, 120, fall=0.1, only="thick")
    findings = quality(compare([champion], [candidate]), BUDGETS)
    found = next(each for each in findings if "polyphony thick" in each.text and "onset_f1" in each.text)
    assert found.text.startswith("onset_f1 on held-out, polyphony thick fell from ")
    assert found.figures["difference"] == pytest.approx(-0.1, abs=0.03)
    assert found.figures["low"] < found.figures["difference"] < found.figures["high"] < -BUDGETS.slice_loss


def test_several_test_sets_are_judged_together() -> None:
    first = pair(1, 40)
    second = tuple(replace(each, test_set="real recordings") for each in pair(2, 20, fall=0.1))
    comparison = compare([first[0], second[0]], [first[1], second[1]])
    texts = [finding.text for finding in quality(comparison, BUDGETS)]
    assert texts
    assert all("on real recordings" in text for text in texts)


def test_what_is_unlike_is_not_compared() -> None:
    champion, candidate = pair(1, 10)
    for other in (
        replace(candidate, model="symbols"),
        replace(candidate, test_set="small"),
        replace(candidate, test_set_digest="d" * 64),
        replace(candidate, pieces=candidate.pieces[:-1]),
    ):
        with pytest.raises(IncomparableError):
            compare([champion], [other])
    with pytest.raises(IncomparableError):
        compare([champion], [])


def test_evaluations_are_kept_as_json() -> None:
    champion, candidate = pair(1, 4)
    assert decode_all(encode_all([champion, candidate])) == (champion, candidate)
    assert champion.means().keys() == set(MEASURES)
