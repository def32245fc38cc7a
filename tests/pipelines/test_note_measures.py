"""Our measures are the field's: checked on small cases, and against the judges' own scorer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipelines.evaluation.note_measures import mean_scores, score_notes

TRUTH = np.array([[0.0, 1.0, 60, 40], [0.5, 1.5, 64, 80], [1.0, 2.0, 67, 120]])
SCORER = Path("../shared/tools/score_notes.py")


def test_the_truth_is_perfect() -> None:
    scores = score_notes(TRUTH, TRUTH)
    assert (scores.onset_f1, scores.offset_f1, scores.frame_f1, scores.velocity) == (1, 1, 1, 1)


def test_late_onsets_and_wrong_pitches_do_not_count() -> None:
    found = TRUTH.copy()
    found[0, 0] = 0.06
    found[1, 2] = 65
    scores = score_notes(TRUTH, found)
    assert scores.onset_f1 == pytest.approx(1 / 3)
    assert scores.onset_precision == pytest.approx(1 / 3)


def test_early_offsets_count_for_onsets_alone() -> None:
    found = TRUTH.copy()
    found[:, 1] = found[:, 0] + 0.3
    scores = score_notes(TRUTH, found)
    assert (scores.onset_f1, scores.offset_f1) == (1, 0)


def test_velocity_is_judged_after_a_linear_fit() -> None:
    quieter = TRUTH * [1, 1, 1, 0.5]
    assert score_notes(TRUTH, quieter).velocity == 1
    assert score_notes(TRUTH, np.column_stack([TRUTH[:, :3], [80, 40, 100]])).velocity < 1


def test_nothing_found_is_nothing_gained() -> None:
    empty = np.zeros((0, 4))
    assert score_notes(TRUTH, empty).onset_f1 == 0
    assert score_notes(empty, empty).onset_f1 == 1
    assert mean_scores([score_notes(TRUTH, empty), score_notes(TRUTH, TRUTH)]).onset_f1 == 0.5


def test_agrees_with_the_judges_scorer(tmp_path: Path) -> None:
    if not SCORER.exists():
        pytest.skip(f"{SCORER} is not there: our measures are not compared with the judges'.")
    random = np.random.default_rng(0)
    onset = np.sort(random.uniform(0, 60, 300))
    truth = np.stack(
        [
            onset,
            onset + random.uniform(0.1, 2, 300),
            random.integers(30, 90, 300),
            random.integers(20, 120, 300),
        ],
        axis=1,
    )
    found = truth + np.stack(
        [random.normal(0, 0.03, 300), random.normal(0, 0.2, 300), *np.zeros((2, 300))], axis=1
    )
    found = found[found[:, 1] > found[:, 0] + 0.02]
    for name, notes in (("truth", truth), ("found", found)):
        lines = ["onset\toffset\tnote\tvelocity", *("\t".join(map(str, row)) for row in notes)]
        (tmp_path / f"{name}.tsv").write_text("\n".join(lines))
    command = [
        sys.executable,
        str(SCORER),
        str(tmp_path / "truth.tsv"),
        str(tmp_path / "found.tsv"),
        "--json",
    ]
    theirs = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    ours = score_notes(truth, found)
    assert ours.onset_f1 == pytest.approx(theirs["onset_f1"], abs=1e-6)
    assert ours.offset_f1 == pytest.approx(theirs["offset_f1"], abs=1e-6)
    assert ours.frame_f1 == pytest.approx(theirs["frame_f1"], abs=0.002)
