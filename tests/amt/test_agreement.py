from __future__ import annotations

import mir_eval
import numpy as np
import pytest

from services.amt.agreement import ONSET_TOLERANCE_S, note_f1
from services.music.notes import Note


def notes(*onsets_and_pitches: tuple[float, int]) -> list[Note]:
    return [Note(onset, onset + 0.3, pitch, 80) for onset, pitch in onsets_and_pitches]


def test_the_same_notes_agree_and_no_notes_do_too() -> None:
    some = notes((0, 60), (0.5, 64), (0.5, 67))
    assert note_f1(some, list(reversed(some))) == 1
    assert note_f1([], []) == 1
    assert note_f1(some, []) == note_f1([], some) == 0


def test_notes_of_another_pitch_or_time_do_not_match() -> None:
    assert note_f1(notes((1, 60), (2, 60)), notes((1, 61), (2, 60))) == 0.5
    assert note_f1(notes((1, 60)), notes((1 + 0.9 * ONSET_TOLERANCE_S, 60))) == 1
    assert note_f1(notes((1, 60)), notes((1 + 1.1 * ONSET_TOLERANCE_S, 60))) == 0


def test_each_note_matches_one_at_most() -> None:
    assert note_f1(notes((1, 60)), notes((1, 60), (1.01, 60), (1.02, 60))) == 0.5
    assert note_f1(notes((1.00, 60), (1.04, 60)), notes((1.04, 60), (1.08, 60))) == 1


@pytest.mark.parametrize("seed", range(20))
def test_it_is_what_mir_eval_measures(seed: int) -> None:
    random = np.random.default_rng(seed)
    ours = notes(
        *zip(random.uniform(0, 4, 60).round(4).tolist(), random.integers(60, 64, 60).tolist(), strict=True)
    )
    moved = random.normal(0, 0.04, 60)
    theirs = [
        *(
            Note(max(n.onset_s + d, 0), n.offset_s + d, n.pitch, 80)
            for n, d in zip(ours[5:], moved, strict=False)
        ),
        *notes(*zip(random.uniform(0, 4, 9).tolist(), random.integers(60, 64, 9).tolist(), strict=True)),
    ]
    f1 = note_f1(ours, theirs)
    _, _, measured, _ = mir_eval.transcription.precision_recall_f1_overlap(
        *_as_arrays(ours), *_as_arrays(theirs), onset_tolerance=ONSET_TOLERANCE_S, offset_ratio=None
    )
    assert 0.3 < f1 < 1
    assert f1 == pytest.approx(measured)
    assert f1 == note_f1(theirs, ours)


def _as_arrays(found: list[Note]) -> tuple[np.ndarray, np.ndarray]:
    intervals = np.array([(note.onset_s, note.offset_s) for note in found])
    return intervals, 440.0 * 2 ** ((np.array([note.pitch for note in found]) - 69) / 12)
