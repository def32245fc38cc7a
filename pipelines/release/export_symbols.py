"""From a checkpoint of the `symbols` model to the ONNX file that Triton serves.

The graph holds everything between uint8 tiles and candidates, with the batch as the one dynamic axis. What it
answers is checked against the network's own answer before it is kept.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipelines.release.record import LARGEST_FILE_BYTES, OPSET
from pipelines.training.symbols.network import SymbolsNetwork
from pipelines.training.symbols.served import served
from services.omr.contract import SCORE, SYMBOLS, TILE_PX

#: Largest difference allowed in a candidate's field: float sums in another order, in px, shares and logs.
TOLERANCE = 5e-3
#: Peaks below this are noise, and may come in another order or not at all.
_SURE = 0.05


class Served(nn.Module):
    """The network as it is served: uint8 [B, TILE_PX, TILE_PX] -> candidates and staves."""

    def __init__(self, network: SymbolsNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, tile: Tensor) -> tuple[Tensor, Tensor]:
        """Tiles to candidates [B, CANDIDATES, FIELDS] and staves [B, CELLS, CELLS]."""
        candidates, staves = served(self.network, tile)
        return candidates, staves


def read_checkpoint(checkpoint: Path) -> dict[str, Any]:
    """What a training run has saved."""
    state: dict[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=False)
    return state


def load_network(checkpoint: Path) -> SymbolsNetwork:
    """The averaged network of a training run's checkpoint, on the CPU."""
    network = SymbolsNetwork()
    network.set_weights(read_checkpoint(checkpoint)["average"])
    return network


def export(network: SymbolsNetwork, path: Path, tiles: NDArray[np.uint8]) -> float:
    """Write `network` to `path` as ONNX; what lay there is replaced at once or not at all.

    Args:
        network: in full precision.
        path: of the model.
        tiles: uint8 [2 or more, TILE_PX, TILE_PX] to compare on.

    Returns:
        the largest difference between ONNX Runtime and torch in any field of a candidate.

    Raises:
        ValueError: the two differ by more than rounding explains, or the file is too large to ship.
    """
    partial = path.with_suffix(".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    write(network, partial)
    onnx.checker.check_model(str(partial))
    if partial.stat().st_size > LARGEST_FILE_BYTES:
        raise ValueError(f"{path} would be larger than {LARGEST_FILE_BYTES} bytes.")
    apart = difference(network, partial, tiles)
    if apart > TOLERANCE:
        raise ValueError(f"ONNX Runtime differs from torch by {apart:.4f}.")
    partial.replace(path)
    return apart


def write(network: SymbolsNetwork, path: Path) -> None:
    """Write `network` to `path` as ONNX, its normalisation folded, unchecked."""
    names = [tensor.name for tensor in (*SYMBOLS.inputs, *SYMBOLS.outputs)]
    with torch.no_grad(), warnings.catch_warnings():
        # The tracer warns of shapes that are in fact constant.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Served(network).eval(),
            (torch.zeros((2, TILE_PX, TILE_PX), dtype=torch.uint8),),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=names[:1],
            output_names=names[1:],
            dynamic_axes={name: {0: "batch"} for name in names},
        )
    _optimise(path)


def _optimise(path: Path) -> None:
    """Fold normalisation into the convolutions, and drop casts that change nothing."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path.with_suffix(".optimised"))
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    path.with_suffix(".optimised").replace(path)


def difference(network: SymbolsNetwork, path: Path, tiles: NDArray[np.uint8]) -> float:
    """The largest difference between ONNX Runtime and torch in any field of a sure candidate.

    Raises:
        ValueError: the two see staves differently.
    """
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        ours, lines = (answer.numpy() for answer in Served(network).eval()(torch.from_numpy(tiles)))
    theirs, their_lines = session.run(None, {SYMBOLS.inputs[0].name: tiles})
    if np.abs(lines.astype(int) - their_lines).max() > 1:
        raise ValueError("ONNX Runtime and torch see staves differently.")
    worst = 0.0
    for mine, other in zip(ours, theirs, strict=True):
        # Near-equal scores may change places: each sure candidate of either is compared with whichever of
        # the other's is most like it. Coordinates are in px, up to a page's width: errors are relative.
        apart = (np.abs(mine[:, None] - other) / np.maximum(1, np.abs(mine[:, None]))).max(2)
        for each, nearest in ((mine, apart.min(1)), (other, apart.min(0))):
            worst = max(worst, float(nearest[each[:, SCORE] > _SURE].max(initial=0.0)))
    return worst
