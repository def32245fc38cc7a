"""The table, the marked pages and the contact sheets, and a whole evaluation with a reader that knows all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipelines.evaluation.contact_sheet import write_sheets
from pipelines.evaluation.marked_pages import mark, verdicts
from pipelines.evaluation.omr import Evaluation
from pipelines.evaluation.omr_measures import SCORER, score_pairs
from pipelines.evaluation.omr_ned import json_as_musicxml
from pipelines.evaluation.omr_readers import Answer, PageFigures
from pipelines.evaluation.omr_report import Line, Staves, markdown, means, write_report
from pipelines.evaluation.omr_works import PAGES, Measure, MeasureNote, read_truth, works
from services.omr.assembly.recognition import Box


def measure(*pitches: str) -> Measure:
    return tuple(MeasureNote(float(onset), pitch, 1.0, 0, "1") for onset, pitch in enumerate(pitches))


TRUTH = (measure("C4", "D4"), measure("E4", "F4"), measure("G4"))


def line(name: str, found: Sequence[Measure], page: int | None = None, ned: float | None = 0.1) -> Line:
    pairs = [(index, index) for index in range(len(found))]
    return Line("clean", name, page, score_pairs(TRUTH, found, pairs), Staves(3, 3, 1, 1), 1.0, ned)


def png(height: int = 300, width: int = 200) -> bytes:
    return bytes(cv2.imencode(".png", np.full((height, width, 3), 255, np.uint8))[1])


def decoded(picture: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)


def test_means_are_over_works_not_pages() -> None:
    lines = [line("one", TRUTH), line("one", TRUTH[:1], page=1), line("two", ())]
    (mean,) = means(lines)
    assert mean.scores.note == 0.5
    assert mean.name == "MEAN of 2"
    assert mean.staves == Staves(6, 6, 2, 2)
    assert mean.ned_music == pytest.approx(0.1)


def test_a_mean_of_omr_ned_needs_every_work() -> None:
    (mean,) = means([line("one", TRUTH), line("two", TRUTH, ned=None)])
    assert mean.ned_music is None


def test_the_table_has_a_row_for_each_line_and_reads_as_markdown(tmp_path: Path) -> None:
    lines = [line("one", TRUTH), line("one", TRUTH[:2], page=2)]
    rows = markdown(lines).splitlines()
    assert len(rows) == 4
    assert len({len(row) for row in rows}) == 1
    assert "1.000" in rows[2]
    assert " 2 |" in rows[3]
    write_report(lines, tmp_path / "out")
    told = json.loads((tmp_path / "out" / "omr.json").read_text())
    assert [each["scores"]["true_notes"] for each in told] == [5, 5]


def test_verdicts_tell_at_which_step_notes_are_lost() -> None:
    found = (measure("C4", "D#4"), measure("E4"), measure("G4"), measure("A4"))
    told = verdicts(TRUTH, found, [(0, 0), (1, 1), (2, 2)])
    assert told == {0: "1/2 pitch-1", 1: "1/2 counted-1", 3: "not in the truth"}


def test_measures_that_are_not_right_are_framed() -> None:
    boxes = {0: Box(20, 50, 60, 40), 1: Box(100, 50, 60, 40)}
    marked = decoded(mark(png(), boxes, {0: "1/2 pitch-1"}))
    assert (marked[50:90, 20] != 255).any(axis=1).all()
    assert (marked[:, 100:] == 255).all()


def test_sheets_hold_all_pages_in_rows(tmp_path: Path) -> None:
    pages = [(f"page {index}", png(300 + 50 * index)) for index in range(5)]
    paths = write_sheets(pages, tmp_path / "sheet", columns=2, rows=2, width_px=100)
    assert [path.name for path in paths] == ["sheet-1.png", "sheet-2.png"]
    first, second = (cv2.imread(str(path)) for path in paths)
    assert first.shape[1] == 2 * second.shape[1]
    assert (first == 255).any()


@pytest.mark.skipif(
    not (PAGES.exists() and SCORER.exists()), reason="needs ../shared: the evaluation pages and score_omr.py"
)
def test_a_reader_that_knows_the_truth_scores_one(tmp_path: Path) -> None:
    work = next(work for work in works(PAGES) if work.name == "mozart_sonata11-1a")
    truth = read_truth(work.truth)
    boxes = {index: Box(0, 0, 10, 10) for index in range(len(truth.measures))}
    asked = []

    def knowing(files: Sequence[Path]) -> Answer:
        asked.append(tuple(files))
        return Answer(json_as_musicxml(work.truth), (PageFigures(3, 6, boxes, 18, png()),), 0.5)

    evaluation = Evaluation(knowing, tmp_path, ned=False)
    evaluation.take(work)
    assert asked == [work.files]
    (whole,) = evaluation.lines
    assert whole.scores.note == whole.scores.measures_right == whole.scores.staff == whole.adds_up == 1.0
    assert whole.staves == Staves(6, 6, 3, 3)
    assert [caption for caption, _ in evaluation.pages["scanned"]] == [
        "scanned mozart_sonata11-1a page 1: 1.000"
    ]
