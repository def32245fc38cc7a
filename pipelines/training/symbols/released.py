"""A released `symbols` model as weights that can be trained on: they are read out of `model.onnx`.

The export folds normalisation into the convolutions and forgets the weights' names. Which number went where
is found by exporting a network whose weights are all different: what lies in its file where the released
model has a tensor tells which weight that is.
"""

from __future__ import annotations

import math
import tempfile
from itertools import permutations
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from pipelines.release.export_symbols import write
from pipelines.training.symbols.kernels import Normalisation
from pipelines.training.symbols.network import SymbolsNetwork

Array = NDArray[np.float32]

#: Added to variances by the network's norms.
_EPSILON: Final = Normalisation().epsilon
#: Rounding of a weight by what it is multiplied with in the export, relative.
_ROUNDING: Final = 1e-5


def read_weights(model: Path) -> list[Array]:
    """Weights for `SymbolsNetwork.set_weights`; the network then answers what the model answers.

    Norms stand in it as ones that only shift: it must be trained with its norms frozen.

    Raises:
        ValueError: the model is not one that `pipelines.release.export_symbols` has written.
    """
    network = SymbolsNetwork()
    random = np.random.default_rng(0)
    probe = [_drawn(weight.name, weight.shape, random) for weight in network.weights]
    network.set_weights(probe)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "probe.onnx")
        write(network, path)
        places = _tensors(path)
    found = _tensors(model)
    if [each.shape for each in places] != [each.shape for each in found]:
        raise ValueError(f"{model} holds no symbols network that is known here.")
    weights = list(probe)
    scale = math.sqrt(1 + _EPSILON)
    exported = ("kernel", "beta", "bias")
    missing = {index for index, weight in enumerate(network.weights) if weight.name in exported}
    for place, value in zip(places, found, strict=True):
        for index in sorted(missing):
            turned = _turned(place, probe[index], scale)
            if turned is not None:
                axes, factor = turned
                weights[index] = np.ascontiguousarray(np.transpose(value, axes) * factor, np.float32)
                missing.remove(index)
                break
    if missing:
        raise ValueError(f"{model} lacks {len(missing)} weights of the symbols network that is known here.")
    return weights


def _drawn(name: str, shape: tuple[int, ...], random: np.random.Generator) -> Array:
    """Weights no two of which are the same, but norms that do no more than shift."""
    fixed = {"gamma": 1.0, "moving_mean": 0.0, "moving_variance": 1.0}
    if name in fixed:
        return np.full(shape, fixed[name], np.float32)
    return random.normal(0, 0.05, shape).astype(np.float32)


def _tensors(path: Path) -> list[Array]:
    """The float tensors of a graph in the order in which its nodes use them."""
    graph = onnx.load(str(path)).graph
    held = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    used = [held[name] for node in graph.node for name in node.input if name in held]
    return [each for each in used if each.dtype == np.float32 and each.ndim and each.size > 4]


def _turned(place: Array, weight: Array, scale: float) -> tuple[tuple[int, ...], float] | None:
    """How a weight comes out of a tensor: its axes and a factor; None where it is another's."""
    if sorted(place.shape) != sorted(weight.shape):
        return None
    for axes in permutations(range(place.ndim)):
        turned = np.transpose(place, axes)
        if turned.shape == weight.shape:
            for factor in (1.0, scale):
                if np.allclose(turned * factor, weight, rtol=_ROUNDING, atol=1e-7):
                    return axes, factor
    return None
