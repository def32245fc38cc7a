"""A model server in memory that sees pages."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from services.omr.contract import CANDIDATES, CELLS, CONTEXT, FIELDS, READING_FIELDS, SEQUENCE
from tests.inference import Asked, ScriptedServer, Tensors

NOTHING = {
    "candidates": np.zeros((1, CANDIDATES, FIELDS), np.float32),
    "staves": np.zeros((1, CELLS, CELLS), np.uint8),
}


class SeeingServer(ScriptedServer):
    """Sees nothing on any page, or what `model` sees; in context everything is nothing to it."""

    model: onnxruntime.InferenceSession | None = None

    def answer(self, asked: Asked, inputs: Tensors) -> dict[str, NDArray[Any]]:
        if asked.model == CONTEXT.model:
            return {"readings": np.zeros((len(inputs["candidates"]), SEQUENCE, READING_FIELDS), np.float32)}
        if self.model is None:
            return NOTHING
        return dict(zip(NOTHING, self.model.run(list(NOTHING), dict(inputs)), strict=True))
