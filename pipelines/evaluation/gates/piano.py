"""How the `piano` model is judged: excerpts heard as the audio service hears them, and scored as usual."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from pipelines.evaluation.gates.fixed_sets import Piece
from pipelines.evaluation.gates.models import ModelFiles, open_session
from pipelines.evaluation.gates.recordings import Excerpt
from pipelines.evaluation.note_measures import as_rows, score_notes
from services.amt.chunks import Stitcher, cut
from services.amt.contract import CORE_FRAMES, HOP_SAMPLES, PIANO
from services.amt.decode import decode
from services.amt.notes import DecodingThresholds, find_notes

#: A recording of 35 s that ships with the client.
RECORDING: Final = Path(__file__).parents[3] / "services" / "client" / "samples" / "demo.flac"
#: Other grids of chunks, by how many frames they are moved. Even, as every grid of the contract's is, since
#: networks may take frames in pairs.
_SHIFTS: Final = (CORE_FRAMES // 2, CORE_FRAMES // 4)


def judge_of(files: ModelFiles) -> Callable[[Piece[Excerpt]], Mapping[str, float]]:
    """Measures of a piece by this version: onset, onset+offset and frame F1, and velocity."""
    session = open_session(files.onnx)
    thresholds = DecodingThresholds.from_card(files.card)

    def measures(piece: Piece[Excerpt]) -> Mapping[str, float]:
        found = find_notes(posteriors(session, piece.content.audio), thresholds)
        scores = score_notes(piece.content.notes, as_rows(found))
        return {
            "onset_f1": scores.onset_f1,
            "offset_f1": scores.offset_f1,
            "frame_f1": scores.frame_f1,
            "velocity": scores.velocity,
        }

    return measures


def posteriors(session: onnxruntime.InferenceSession, samples: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Posteriors uint8 [4, T, 88] of a recording, on the contract's grid of chunks."""
    stitcher = Stitcher(samples.size)
    for index, chunk in enumerate(cut(samples)):
        stitcher.put(index, session.run(None, {PIANO.inputs[0].name: chunk[None]})[0][0])
    return stitcher.posteriors


def inputs(count: int) -> NDArray[np.int16]:
    """Some chunks of a recording, int16 [count, CHUNK_SAMPLES], no two alike."""
    chunks = []
    samples = _recording()
    while len(chunks) < count:
        chunks += list(cut(samples))
        samples = samples[len(samples) // 7 :]
    return np.stack(chunks[:count])


def apart(one: Sequence[NDArray[np.uint8]], other: Sequence[NDArray[np.uint8]]) -> float:
    """The largest difference between two answers, in steps of 1/255."""
    return float(np.abs(one[0].astype(int) - other[0]).max())


def splits(files: ModelFiles) -> dict[str, float]:
    """Hear one recording on several grids of chunks.

    Returns:
        `agreement`: the least onset F1 between the notes heard on two grids; `difference`: the largest mean
        absolute difference of posteriors, in units of 1/255.
    """
    session = open_session(files.onnx)
    thresholds = DecodingThresholds.from_card(files.card)
    samples = _recording()
    first = posteriors(session, samples)
    agreements, differences = [], []
    for shift in _SHIFTS:
        silence = np.zeros(shift * HOP_SAMPLES, np.int16)
        moved = posteriors(session, np.concatenate([silence, samples]))[:, shift:]
        frames = min(first.shape[1], moved.shape[1])
        differences.append(np.abs(first[:, :frames].astype(int) - moved[:, :frames]).mean())
        heard = [as_rows(find_notes(each[:, :frames], thresholds)) for each in (first, moved)]
        agreements.append(score_notes(*heard).onset_f1)
    return {"agreement": float(min(agreements)), "difference": float(max(differences))}


def _recording() -> NDArray[Any]:
    with RECORDING.open("rb") as file:
        return decode(file, max_audio_s=60).samples
