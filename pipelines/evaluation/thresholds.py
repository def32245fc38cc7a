"""Chooses the decoding thresholds of a transcription model, on synthetic audio alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from pipelines.evaluation.note_measures import NoteScores, as_rows, mean_scores, score_notes
from services.amt.notes import DecodingThresholds, find_notes

ONSETS = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3)
FRAMES = (0.1, 0.2, 0.3, 0.4, 0.5)
OFFSETS = (0.3, 0.5, 0.7, 0.9, 1.2)
LOW_FRAMES = (1, 2, 3)

Heard = tuple[np.ndarray, np.ndarray]


def score_all(excerpts: Sequence[Heard], thresholds: DecodingThresholds) -> NoteScores:
    """Mean scores of `(posteriors, truth rows)` pairs, decoded with `thresholds`."""
    return mean_scores(
        [score_notes(truth, as_rows(find_notes(heard, thresholds))) for heard, truth in excerpts]
    )


def choose(excerpts: Sequence[Heard]) -> DecodingThresholds:
    """The thresholds with the best scores: first onsets for onset F1, then ends for onset+offset F1.

    Onsets do not depend on where notes end, so the two searches are independent. Ends are searched
    over two thresholds at once, then over the length of the silence that ends a note.
    """

    def best(candidates: Iterable[DecodingThresholds], measure: str) -> DecodingThresholds:
        return max(candidates, key=lambda t: getattr(score_all(excerpts, t), measure))

    base = best((replace(DecodingThresholds(), onset=value) for value in ONSETS), "onset_f1")
    ends = itertools.product(FRAMES, OFFSETS)
    base = best((replace(base, frame=frame, offset=offset) for frame, offset in ends), "offset_f1")
    return best((replace(base, low_frames=count) for count in LOW_FRAMES), "offset_f1")
