"""The field's measures of transcribed notes, by mir_eval.

Onset F1 counts a note as right when its pitch is right and its onset within 50 ms; onset+offset F1
asks as well that its offset be within 20 % of its length or 50 ms (Bay et al. 2009; Hawthorne et
al. 2018). Velocity is measured on notes matched by onset, after Hawthorne's linear fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import mir_eval
import numpy as np

from services.music.notes import Note

VELOCITY_TOLERANCE = 0.1


@dataclass(frozen=True)
class NoteScores:
    """Measures of one recording, each from 0 to 1.

    Attributes:
        onset_f1, onset_precision, onset_recall: notes by pitch and onset.
        offset_f1: notes by pitch, onset and offset.
        frame_f1: sounding pitches every 10 ms.
        velocity: share of matched notes whose velocity is within 0.1 of the truth's range, after
            the best linear fit between the two scales.
    """

    onset_f1: float
    onset_precision: float
    onset_recall: float
    offset_f1: float
    frame_f1: float
    velocity: float


def as_rows(notes: Sequence[Note]) -> np.ndarray:
    """Notes as float rows [notes, 4]: onset s, offset s, MIDI pitch, velocity."""
    rows = [(note.onset_s, note.offset_s, note.pitch, note.velocity) for note in notes]
    return np.array(rows, float).reshape(-1, 4)


def score_notes(truth: np.ndarray, found: np.ndarray) -> NoteScores:
    """Compare found notes with true ones, both as rows (see `as_rows`)."""
    truth, found = truth[truth[:, 1] > truth[:, 0]], found[found[:, 1] > found[:, 0]]
    if not len(truth) or not len(found):
        perfect = float(len(truth) == len(found))
        return NoteScores(*[perfect] * len(fields(NoteScores)))
    hz = [440.0 * 2.0 ** ((notes[:, 2] - 69.0) / 12.0) for notes in (truth, found)]
    intervals = (truth[:, :2], found[:, :2])
    matched = mir_eval.transcription.match_notes(intervals[0], hz[0], intervals[1], hz[1], offset_ratio=None)
    arguments = (intervals[0], hz[0], intervals[1], hz[1])
    precision, recall = len(matched) / len(found), len(matched) / len(truth)
    offset_f1 = mir_eval.transcription.precision_recall_f1_overlap(*arguments)[2]
    return NoteScores(
        onset_f1=2 * len(matched) / (len(truth) + len(found)),
        onset_precision=precision,
        onset_recall=recall,
        offset_f1=float(offset_f1),
        frame_f1=_frame_f1(truth, found),
        velocity=_velocity_share(truth, found, matched),
    )


def mean_scores(scores: Sequence[NoteScores]) -> NoteScores:
    """The mean of each measure over recordings."""
    return NoteScores(
        **{f.name: float(np.mean([getattr(s, f.name) for s in scores])) for f in fields(NoteScores)}
    )


def _velocity_share(truth: np.ndarray, found: np.ndarray, matched: list[tuple[int, int]]) -> float:
    if not matched:
        return 0.0
    true_index, found_index = map(list, zip(*matched, strict=True))
    low, high = truth[:, 3].min(), truth[:, 3].max()
    wanted = (truth[true_index, 3] - low) / max(1.0, high - low)
    heard = found[found_index, 3] / 127
    slope_and_shift = np.linalg.lstsq(np.stack([heard, np.ones_like(heard)], 1), wanted, rcond=None)[0]
    fitted = slope_and_shift[0] * heard + slope_and_shift[1]
    return float(np.mean(np.abs(fitted - wanted) < VELOCITY_TOLERANCE))


def _frame_f1(truth: np.ndarray, found: np.ndarray, hop_s: float = 0.01) -> float:
    end = int(np.ceil(max(truth[:, 1].max(), found[:, 1].max()) / hop_s)) + 2
    roll = np.zeros((2, end, 128), bool)
    for sheet, notes in zip(roll, (truth, found), strict=True):
        for onset, offset, pitch, _ in notes:
            first = round(onset / hop_s)
            sheet[first : max(round(offset / hop_s), first + 1), int(pitch)] = True
    return float(2 * (roll[0] & roll[1]).sum() / max(1, roll.sum()))
