"""A training run's averaged `symbols` network as a model that reads tiles, straight from its checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.training.symbols.network import SymbolsNetwork
from pipelines.training.symbols.served import served


class TrainedSymbols:
    """Reads tiles in bfloat16, several times as fast on CPUs as the served file; a `TileModel`."""

    def __init__(self, checkpoint: Path) -> None:
        self._network = SymbolsNetwork()
        state = torch.load(checkpoint, map_location="cpu", weights_only=False)
        self._network.set_weights(state["average"])

    def __call__(self, tile: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Candidates [CANDIDATES, FIELDS] and staves [CELLS, CELLS] of a tile."""
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            candidates, staves = served(self._network, torch.from_numpy(tile[None]))
        return candidates[0].float().numpy(), staves[0].numpy()
