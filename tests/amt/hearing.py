"""A model server in memory that hears piano notes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.amt.contract import CHUNK_FRAMES, PITCHES
from tests.inference import Asked, ScriptedServer, Tensors


def a_note(key: int = 39) -> NDArray[np.uint8]:
    """Posteriors [1, 4, frames, keys] of one note in the middle of a chunk; of middle C."""
    posteriors = np.zeros((1, 4, CHUNK_FRAMES, PITCHES), np.uint8)
    posteriors[0, 0, 299:302, key] = (153, 255, 153)
    posteriors[0, 2:, 300:320, key] = 128
    return posteriors


class HearingServer(ScriptedServer):
    """Hears the same note in every chunk."""

    def answer(self, asked: Asked, inputs: Tensors) -> dict[str, NDArray[Any]]:
        return {"posteriors": a_note()}
