"""A released `context` model as a network to train on: its weights are read out of `model.onnx`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import NodeProto, numpy_helper
from torch import Tensor

from pipelines.training.context.network import ContextNetwork

_PREFIX: Final = "network."
#: Where torch's gates (input, forget, cell, output) lie among ONNX's (input, output, forget, cell).
_GATES: Final = (0, 2, 3, 1)
_DIRECTIONS: Final = ("", "_reverse")


def read_network(model: Path) -> ContextNetwork:
    """The network that a model was exported from; it answers exactly what the model answers.

    Raises:
        ValueError: the model is not one that `pipelines.release.export_context` has written.
    """
    graph = onnx.load(str(model)).graph
    held = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    weights = {name.removeprefix(_PREFIX): each for name, each in held.items() if name.startswith(_PREFIX)}
    layer = 0
    for node in graph.node:
        place = node.name.strip("/").split("/")
        if node.op_type == "MatMul" and node.input[1] in held:
            weights[f"{place[-2]}.weight"] = held[node.input[1]].T
        elif node.op_type == "LSTM":
            weights |= _lstm(node, held, layer)
            layer += 1
    network = ContextNetwork()
    try:
        network.load_state_dict({name: _tensor(each) for name, each in weights.items()})
    except RuntimeError as error:
        raise ValueError(f"{model} holds no context network that is known here: {error}") from error
    return network.eval()


def _lstm(
    node: NodeProto, held: dict[str, NDArray[np.float32]], layer: int
) -> dict[str, NDArray[np.float32]]:
    """The weights of one layer by torch's names: ONNX stacks directions, and inner upon outer biases."""
    inner, outer, biases = (held[name] for name in node.input[1:4])
    found = {}
    for direction, suffix in enumerate(_DIRECTIONS):
        half = biases.shape[1] // 2
        parts = {
            "weight_ih": inner[direction],
            "weight_hh": outer[direction],
            "bias_ih": biases[direction, :half],
            "bias_hh": biases[direction, half:],
        }
        for name, part in parts.items():
            gates = np.split(part, 4)
            found[f"lstm.{name}_l{layer}{suffix}"] = np.concatenate([gates[gate] for gate in _GATES])
    return found


def _tensor(array: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.array(array, order="C"))
