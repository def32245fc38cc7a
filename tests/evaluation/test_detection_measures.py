"""The measures of detection: known values on made-up boxes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipelines.evaluation.detection_measures import (
    Boxes,
    SeenPage,
    average_precision,
    best_f1,
    mean_scores,
    overlap,
    score_pages,
)
from services.omr.vocabulary import CLASS_INDEX, SymbolClass

HEAD, SHARP = CLASS_INDEX[SymbolClass.NOTEHEAD_BLACK], CLASS_INDEX[SymbolClass.SHARP]
TIE = CLASS_INDEX[SymbolClass.TIE_START]


def row_of(kind: int, count: int, top: float, score: float = 1.0, shift: float = 0.0) -> Boxes:
    """Boxes of 20 by 16 px, 100 px apart, in a row."""
    left = np.arange(count) * 100.0 + shift
    edges = np.stack([left, np.full(count, top), left + 20, np.full(count, top + 16)], 1)
    return Boxes(np.full(count, kind), edges, np.full(count, score))


def joined(*parts: Boxes) -> Boxes:
    return Boxes(
        *(np.concatenate([getattr(p, name) for p in parts]) for name in ("kinds", "edges", "scores"))
    )


def test_overlap_is_intersection_over_union() -> None:
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30]], float)
    np.testing.assert_allclose(overlap(boxes[:1], boxes), [[1.0, 50 / 150, 0.0]])


def test_average_precision_of_a_perfect_and_of_an_empty_finding() -> None:
    assert average_precision([np.ones(3)], [np.eye(3)], 0.5) == 1.0
    assert average_precision([np.ones(0)], [np.zeros((0, 3))], 0.5) == 0.0


def test_average_precision_falls_with_false_alarms_that_are_surer() -> None:
    alike = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    after = average_precision([np.array([0.1, 0.9, 0.8])], [alike], 0.5)
    before = average_precision([np.array([0.95, 0.9, 0.8])], [alike], 0.5)
    assert after == 1.0
    assert before == pytest.approx(2 / 3)


def test_the_best_threshold_lies_before_the_false_alarms() -> None:
    scores, alike = [np.array([0.9, 0.7, 0.6, 0.4])], [np.eye(4)[:, :2]]
    assert best_f1(scores, alike, 0.5) == (1.0, 0.7)
    assert best_f1([np.zeros(0)], [np.zeros((0, 2))], 0.5) == (0.0, 1.0)


def test_a_symbol_found_twice_counts_once() -> None:
    scores = np.array([0.9, 0.8])
    assert average_precision([scores], [np.array([[1.0, 0.0], [0.9, 0.0]])], 0.5) == pytest.approx(51 / 101)


def test_a_perfect_page_scores_one_everywhere() -> None:
    truth = joined(row_of(HEAD, 6, 0), row_of(SHARP, 5, 200), row_of(TIE, 5, 400))
    scores = score_pages([SeenPage(truth, truth, truth, 16.0)])
    assert [each.name for each in scores] == ["noteheadBlack", "accidentalSharp", "tieStart"]
    assert [(each.ap50, each.ap) for each in scores] == [(1.0, 1.0), (1.0, 1.0), (None, None)]
    assert all(each.ap_centre == each.named == 1.0 for each in scores)


def test_rare_classes_are_left_out() -> None:
    truth = joined(row_of(HEAD, 6, 0), row_of(SHARP, 4, 200))
    assert [each.name for each in score_pages([SeenPage(truth, truth, truth, 16.0)])] == ["noteheadBlack"]


def test_boxes_off_by_a_little_lose_only_strict_overlaps() -> None:
    truth, found = row_of(HEAD, 6, 0), row_of(HEAD, 6, 0, shift=4.0)  # overlap 16/24
    (scores,) = score_pages([SeenPage(truth, found, found, 16.0)])
    assert scores.ap50 == 1.0
    assert scores.ap == pytest.approx(0.4)  # 0.5, 0.55, 0.6 and 0.65 of ten
    assert scores.ap_centre == 1.0


def test_naming_takes_the_surest_name_at_the_place() -> None:
    truth = row_of(HEAD, 6, 0)
    page = SeenPage(truth, truth, joined(row_of(HEAD, 6, 0, 0.6), row_of(SHARP, 2, 0, 0.7)), 16.0)
    assert score_pages([page])[0].named == pytest.approx(4 / 6)
    missed = replace(page, seen=row_of(HEAD, 5, 0, 0.6))
    assert score_pages([missed])[0].named == pytest.approx(5 / 6)


def test_means_are_over_classes_and_points_have_no_overlap() -> None:
    truth = joined(row_of(HEAD, 10, 0), row_of(TIE, 5, 400))
    mean = mean_scores(score_pages([SeenPage(truth, row_of(HEAD, 10, 0), truth, 16.0)]))
    assert (mean.count, mean.ap50, mean.ap_centre) == (15, 1.0, 0.5)
