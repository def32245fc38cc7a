"""The judge of rhythm: truths become printed events that hold only what is printed, and errors show."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pipelines.evaluation.rhythm import DAMAGES, PERFECT, POOR, damaged, evaluate
from pipelines.evaluation.rhythm_truth import TrueMeasure, of_typed

SCANNED = Path("../shared/data/pages/scanned")


def _note(staff: int, on: float, dur: float, pitch: str, voice: int) -> dict[str, object]:
    return {"staff": staff, "on": on, "dur": dur, "p": pitch, "tie": "", "grace": 0, "v": voice}


@pytest.fixture
def piece(tmp_path: Path) -> list[TrueMeasure]:
    """Six measures of 3/4: a triplet and a dotted figure over a chord and a rest, or over silence."""
    third = 1 / 3
    upper = [_note(1, third * i, third, "C5", 1) for i in range(3)]
    upper += [_note(1, 1, 1.5, "D5", 1), _note(1, 2.5, 0.5, "Bb4", 1)]
    chord = [_note(2, 0, 2, "C3", 0), _note(2, 0, 2, "G3", 0)]
    rest = {"staff": 2, "on": 2, "dur": 1, "v": 0}
    full = {"notes": upper + chord, "rests": [rest], "attrs": []}
    silent = {"notes": upper, "rests": [{"staff": 2, "on": 0, "dur": 3, "v": 0}], "attrs": []}
    time = {"type": "time", "value": "3/4", "staff": 1, "on": 0}
    path = tmp_path / "truth.json"
    path.write_text(json.dumps({"measures": [full | {"attrs": [time]}, silent] * 3}))
    return of_typed(path)


def test_typed_notation_becomes_printed_events(piece: list[TrueMeasure]) -> None:
    assert len(piece) == 6
    assert all(measure.metre == 3 for measure in piece)
    first = piece[0].events[0]
    assert (first.onset, first.duration, first.heads) == (0, Fraction(1, 3), 1)
    assert math.exp(first.printed.durations[3]) > 0.99  # written as an eighth
    assert first.printed.figure == 3
    assert [event.heads for event in piece[0].events if event.printed.staff == 1] == [2, 0]
    assert [event.whole_measure for event in piece[1].events if event.printed.staff == 1] == [True]


def test_perfect_symbols_are_read_without_error(piece: list[TrueMeasure]) -> None:
    counts = evaluate(piece, PERFECT, np.random.default_rng(0))
    assert counts["both"] == counts["events"] == 6 * 6 + 3 * 1
    assert counts["measures right"] == counts["add up"] == counts["measures"] == 6


def test_damage_is_seen_and_counted(piece: list[TrueMeasure]) -> None:
    rng = np.random.default_rng(0)
    pairs = [pair for measure in piece * 20 for pair in damaged(measure, POOR, rng)]
    made_up = [event for true, event in pairs if true is None]
    kept = [(true, event) for true, event in pairs if true is not None]
    whole = sum(len(measure.events) for measure in piece) * 20
    assert 0 < len(made_up) < 0.05 * whole
    assert 0 < whole - len(kept) < 0.05 * whole
    wrong = sum(np.argmax(true.printed.durations) != np.argmax(event.durations) for true, event in kept)
    assert 0 < wrong < 0.1 * whole
    lost = sum(np.argmax(true.printed.dots) > np.argmax(event.dots) for true, event in kept)
    dotted = sum(np.argmax(true.printed.dots) > 0 for true, _ in kept)
    assert 0.05 * dotted < lost < 0.3 * dotted


def test_old_editions_are_read_from_perfect_symbols_without_tuplet_marks() -> None:
    paths = sorted(SCANNED.glob("*/truth.json"))
    if not paths:
        pytest.skip(f"{SCANNED} is not there: rhythm is not judged on typed notation.")
    for path in paths:
        counts = evaluate(of_typed(path)[:8], DAMAGES["tuplets unmarked"], np.random.default_rng(0))
        assert counts["both"] >= 0.99 * counts["events"], path.parent.name
