"""The `symbols` and `context` models as they are served, in this process: for data and for evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from services.omr import contract
from services.runtime.contract import ModelContract

_REPOSITORY: Final = Path(__file__).parents[2] / "model_repository"


def open_model(model: ModelContract, version: int = 1) -> onnxruntime.InferenceSession:
    """A released model, on one thread."""
    return _opened(_REPOSITORY / model.model / str(version) / "model.onnx")


def _opened(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class SymbolsModel:
    """Reads tiles; a `services.omr.steps.TileModel`."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session

    @classmethod
    def released(cls) -> SymbolsModel:
        """The released version."""
        return cls(open_model(contract.SYMBOLS))

    @classmethod
    def opened(cls, path: Path) -> SymbolsModel:
        """Any version's file."""
        return cls(_opened(path))

    def __call__(self, tile: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Candidates [CANDIDATES, FIELDS] and staves [CELLS, CELLS] of a tile."""
        candidates, staves = self._session.run(["candidates", "staves"], {"tile": tile[None]})
        return candidates[0], staves[0]


class ContextModel:
    """Rereads the candidates of staves."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session

    @classmethod
    def released(cls) -> ContextModel:
        """The released version."""
        return cls(open_model(contract.CONTEXT))

    def __call__(self, candidates: NDArray[np.float32]) -> NDArray[np.float32]:
        """Readings [windows, SEQUENCE, READING_FIELDS] of windows [windows, SEQUENCE, CONTEXT_FIELDS]."""
        (readings,) = self._session.run(["readings"], {"candidates": candidates})
        return np.asarray(readings, np.float32)
