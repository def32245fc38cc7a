"""The measures of reading: perfect on the truth, and each step's loss told by the measure of that step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.evaluation.omr_measures import (
    SCORER,
    mean_scores,
    order_f1,
    score_pages,
    score_pairs,
    score_work,
    scorer,
)
from pipelines.evaluation.omr_works import (
    PAGES,
    Measure,
    MeasureNote,
    Truth,
    read_musicxml,
    read_truth,
    works,
)

needs_data = pytest.mark.skipif(
    not (PAGES.exists() and SCORER.exists()), reason="needs ../shared: the evaluation pages and score_omr.py"
)
NO_NOTE = ("counted", "diatonic", "pitch", "onset", "value", "note")


def chord(onset: float, *pitches: str, staff: int = 0, voice: str = "1") -> Measure:
    return tuple(MeasureNote(onset, pitch, 1.0, staff, voice) for pitch in pitches)


#: Two measures on each of two pages.
MEASURES = tuple(
    chord(0, "C4", "Eb4") + chord(1, tune) + chord(0, bass, staff=1)
    for tune, bass in [("C5", "C3"), ("D5", "F3"), ("F5", "G3"), ("G5", "A2")]
)
TRUTH = Truth(MEASURES, (0, 0, 1, 1), (1, 1), 2)
STRAIGHT = [(index, index) for index in range(4)]


def changed(measures: Sequence[Measure], **changes: object) -> list[Measure]:
    """The measures with the first note of the first one changed."""
    first, *others = measures[0]
    return [(replace(first, **changes), *others), *measures[1:]]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "lost"),
    [
        ({"pitch": "D4"}, ("diatonic", "pitch", "onset", "value", "note")),
        ({"pitch": "C#4"}, ("pitch", "onset", "value", "note")),
        ({"onset": 2.0}, ("onset", "note")),
        ({"duration": 0.5}, ("value", "note")),
    ],
)
def test_a_loss_shows_from_its_step_on(changes: dict[str, object], lost: tuple[str, ...]) -> None:
    scores = score_pairs(MEASURES, changed(MEASURES, **changes), STRAIGHT)
    for name in NO_NOTE:
        assert getattr(scores, name) == pytest.approx(30 / 32 if name in lost else 1.0), name
    assert scores.measures_right == 0.75


def test_a_missing_note_costs_every_measure_of_notes() -> None:
    scores = score_pairs(MEASURES, [MEASURES[0][1:], *MEASURES[1:]], STRAIGHT)
    assert all(getattr(scores, name) == pytest.approx(30 / 31) for name in NO_NOTE)
    assert (scores.true_notes, scores.found_notes) == (16, 15)


def test_staves_and_voices_are_judged_among_right_notes_alone() -> None:
    on_other_staff = score_pairs(MEASURES, changed(MEASURES, staff=1), STRAIGHT)
    assert on_other_staff.staff == pytest.approx(15 / 16)
    assert on_other_staff.note == 1.0
    in_other_voice = score_pairs(MEASURES, changed(MEASURES, voice="2"), STRAIGHT)
    # Each measure's upper staff has three notes, so three pairs; two of the first measure's are torn apart.
    assert in_other_voice.voice == pytest.approx(10 / 12)
    assert in_other_voice.staff == 1.0


def test_names_of_voices_do_not_matter() -> None:
    renamed = [tuple(replace(n, voice="7") for n in measure) for measure in MEASURES]
    assert score_pairs(MEASURES, renamed, STRAIGHT).voice == 1.0


def test_nothing_found_scores_nothing() -> None:
    scores = score_pairs(MEASURES, [], [])
    assert all(getattr(scores, name) == 0 for name in (*NO_NOTE, "measures_right"))


def test_means_are_over_works_and_counts_are_summed() -> None:
    mean = mean_scores([score_pairs(MEASURES, MEASURES, STRAIGHT), score_pairs(MEASURES, [], [])])
    assert mean.note == 0.5
    assert mean.true_notes == 32


def test_pitches_in_order_are_compared_without_time() -> None:
    measures = (chord(1, "E4") + chord(0, "G4", "C4"), chord(0, "D4"))
    assert order_f1(["C4", "G4", "E4", "D4"], measures) == 1.0
    assert order_f1(["C4", "G4", "D4"], measures) == pytest.approx(6 / 7)
    assert order_f1(["C4"], ()) == 0.0


@needs_data
def test_a_lost_measure_costs_only_its_own_page() -> None:
    pages = score_pages(scorer(), TRUTH, MEASURES[1:], (0, 1, 1))
    assert [page.note for page in pages] == [pytest.approx(8 / 12), 1.0]
    assert [page.true_measures for page in pages] == [2, 2]
    assert [page.found_measures for page in pages] == [1, 2]
    assert pages[0].measures_right == 0.5


@needs_data
@pytest.mark.parametrize("name", ["lc5060924", "mozart_sonata11-1a"])
def test_the_figures_are_those_of_score_omr(name: str) -> None:
    score_omr = scorer()
    work = next(work for work in works(PAGES) if work.name == name)
    truth = read_truth(work.truth)
    told = score_omr.load(str(work.truth))
    assert [sorted(measure) for measure in told] == [
        sorted((n.onset, n.pitch, n.duration) for n in measure) for measure in truth.measures
    ]
    worse = changed(truth.measures[1:], onset=9.0)
    theirs = score_omr.compare(told, [[(n.onset, n.pitch, n.duration) for n in m] for m in worse])
    mine = score_work(score_omr, truth, worse)
    for name_of_theirs, value in [
        ("pitch_f1", mine.pitch),
        ("onset_f1", mine.onset),
        ("note_f1", mine.note),
        ("measures_right", mine.measures_right),
    ]:
        assert value == pytest.approx(theirs[name_of_theirs])


@needs_data
def test_the_layout_of_every_work_is_known() -> None:
    found = {work.name: read_truth(work.truth) for work in works(PAGES) if work.pages in ("clean", "scanned")}
    assert found["lc5060924"].systems == (3, 4)
    assert found["lc5060924"].staves == 3
    assert found["joplin_rosebud"].systems == (5, 6, 6)
    for truth in found.values():
        assert len(truth.pages) == len(truth.measures)
        assert list(truth.pages) == sorted(truth.pages)


def test_musicxml_is_read_with_staves_voices_and_ties_as_printed() -> None:
    content = (Path(__file__).parent / "two_voices.musicxml").read_bytes()
    (measure,) = read_musicxml(content)
    assert {(n.onset, n.pitch, n.duration, n.staff) for n in measure} == {
        (0.0, "C5", 2.0, 0),
        (0.0, "E4", 1.0, 0),
        (1.0, "F#4", 1.0, 0),
        (0.0, "Bb2", 2.0, 1),
    }
    upper, *_ = [n for n in measure if n.pitch == "C5"]
    lower = {n.voice for n in measure if n.pitch in ("E4", "F#4")}
    assert len(lower) == 1
    assert upper.voice not in lower
