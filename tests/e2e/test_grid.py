"""Where chunks begin must not matter to what is heard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import mir_eval
import numpy as np
import pytest

from services.amt.contract import CORE_FRAMES, HOP_SAMPLES
from services.amt.decode import decode
from services.amt.notes import DecodingThresholds, find_notes
from services.amt.piano import PianoModel
from services.local.stack import LocalStack
from services.music.notes import Note
from services.runtime.triton import TritonClient

pytestmark = pytest.mark.stack

ROOT = Path(__file__).parents[2]
RECORDING = ROOT / "services/client/samples/demo.flac"


def _hertz(notes: Sequence[Note]) -> np.ndarray:
    return np.array([440 * 2 ** ((note.pitch - 69) / 12) for note in notes])


def _intervals(notes: Sequence[Note]) -> np.ndarray:
    return np.array([(note.onset_s, note.offset_s) for note in notes])


#: Even, as every grid of the contract's is: the model's LSTM takes frames in pairs.
@pytest.mark.parametrize("shift_frames", [CORE_FRAMES // 2, CORE_FRAMES // 4])
async def test_the_grid_does_not_matter(stack: LocalStack, shift_frames: int) -> None:
    """The same samples on two grids: silence before them moves where the chunks begin."""
    with RECORDING.open("rb") as file:
        samples = decode(file, max_audio_s=7200).samples
    client = TritonClient(stack.triton_url)
    piano = PianoModel(client, ROOT / "model_repository", chunks_in_flight=3)
    version = await piano.choose("r")
    on_grid = await piano.posteriors(samples, version)
    silence = np.zeros(shift_frames * HOP_SAMPLES, np.int16)
    shifted = await piano.posteriors(np.concatenate([silence, samples]), version)
    await client.close()
    shifted = shifted[:, shift_frames:]
    thresholds = DecodingThresholds.from_card(version.card)
    first, second = find_notes(on_grid, thresholds), find_notes(shifted, thresholds)
    _, _, onset_f1, _ = mir_eval.transcription.precision_recall_f1_overlap(
        _intervals(first), _hertz(first), _intervals(second), _hertz(second), offset_ratio=None
    )
    assert len(first) > 50
    assert onset_f1 >= 0.99
