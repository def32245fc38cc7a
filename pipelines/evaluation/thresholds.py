"""Chooses the decoding thresholds of a transcription model, on synthetic audio alone."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pipelines.evaluation.note_measures import NoteScores, as_rows, mean_scores, score_notes
from services.amt.notes import DecodingThresholds, find_notes

ONSETS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1)
FRAMES = (0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5)
OFFSETS = (0.5, 0.7, 0.9, 1.1, 1.3, 9.0)
LOW_FRAMES = (1, 2, 3)

Heard = tuple[np.ndarray, np.ndarray]


def score_all(excerpts: Sequence[Heard], thresholds: DecodingThresholds) -> NoteScores:
    """Mean scores of `(posteriors, truth rows)` pairs, decoded with `thresholds`."""
    return mean_scores(
        [score_notes(truth, as_rows(find_notes(heard, thresholds))) for heard, truth in excerpts]
    )


def choose(excerpts: Sequence[Heard]) -> DecodingThresholds:
    """The thresholds with the best scores: first onsets for onset F1, then ends for onset+offset F1.

    Onsets do not depend on where notes end, so the two searches are independent.
    """
    base = DecodingThresholds()
    onsets = [replace(base, onset=value) for value in ONSETS]
    best = max(onsets, key=lambda t: score_all(excerpts, t).onset_f1)
    ends = [
        replace(best, frame=frame, offset=offset, low_frames=low)
        for frame, offset, low in itertools.product(FRAMES, OFFSETS, LOW_FRAMES)
    ]
    return max(ends, key=lambda t: score_all(excerpts, t).offset_f1)
