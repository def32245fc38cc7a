"""OMR-NED by musicdiff: 0 for the same music, a little for a little, and the hand-typed truth is music."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.evaluation.omr_ned import MUSIC, json_as_musicxml, omr_ned
from pipelines.evaluation.omr_works import read_musicxml

LIMIT_S = 300.0


def note(staff: int, on: float, dur: float, p: str, **more: Any) -> dict[str, Any]:
    return {"staff": staff, "on": on, "dur": dur, "p": p, "tie": "", "grace": 0, "v": staff, **more}


def truth() -> dict[str, Any]:
    signatures = [
        {"staff": staff, "on": 0.0, "type": kind, "value": value}
        for staff, sign in ((1, "G2"), (2, "F4"))
        for kind, value in (("clef", sign), ("key", -2), ("met", "c"), ("time", "4/4"))
    ]
    first = {
        "attrs": signatures,
        "notes": [
            note(1, 0.0, 2.0, "Bb4"),
            note(1, 0.0, 2.0, "D5"),
            note(1, 2.0, 2.0, "C5", tie="start"),
            note(1, 0.0, 4.0, "F4", v=7),
            note(2, 0.0, 3.0, "Bb2"),
        ],
        "rests": [{"staff": 2, "on": 3.0, "dur": 1.0, "v": 2}],
    }
    second = {
        "attrs": [],
        "notes": [
            note(1, 0.0, 4.0, "C5", tie="stop"),
            note(2, 0.0, 0.0, "E3", grace=1),
            note(2, 0.0, 4.0, "F#3"),
        ],
        "rests": [],
    }
    return {"staves": 2, "measures": [first, second]}


@pytest.fixture
def told(tmp_path: Path) -> Path:
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(truth()))
    return path


def test_the_truth_keeps_its_notes_as_a_score(told: Path) -> None:
    first, second = read_musicxml(json_as_musicxml(told))
    assert sorted((n.staff, n.onset, n.pitch, n.duration) for n in first) == [
        (0, 0.0, "Bb4", 2.0),
        (0, 0.0, "D5", 2.0),
        (0, 0.0, "F4", 4.0),
        (0, 2.0, "C5", 2.0),
        (1, 0.0, "Bb2", 3.0),
    ]
    assert {n.pitch for n in second} == {"C5", "F#3"}


@pytest.mark.slow
def test_the_same_music_is_no_distance_away_and_other_music_is(told: Path, tmp_path: Path) -> None:
    assert omr_ned(told, json_as_musicxml(told), MUSIC, LIMIT_S) == 0.0
    other = truth()
    other["measures"][0]["notes"][4]["p"] = "C3"
    path = tmp_path / "other.json"
    path.write_text(json.dumps(other))
    distance = omr_ned(told, json_as_musicxml(path), MUSIC, LIMIT_S)
    assert distance is not None
    assert 0 < distance < 0.1


def test_it_gives_up_in_time(told: Path) -> None:
    assert omr_ned(told, json_as_musicxml(told), MUSIC, 0.001) is None
