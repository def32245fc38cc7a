"""A released `piano` model as a network that can be trained on: its weights are read out of `model.onnx`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from pipelines.training.piano.network import HarmonicGather, NetworkSize, PianoNetwork

#: What the exported graph puts before the names of the network's own tensors.
_PREFIX: Final = "network."


def read_network(model: Path) -> PianoNetwork:
    """The network that a model was exported from; it answers exactly what the model answers.

    The export folds the gathers' normalisation into their convolutions, so these stand here as norms that
    only shift, and the network must be trained with its norms frozen.

    Raises:
        ValueError: the model is not one that `pipelines.release.export_piano` has written.
    """
    tensors = {
        each.name.removeprefix(_PREFIX): torch.from_numpy(numpy_helper.to_array(each).copy())
        for each in onnx.load(str(model)).graph.initializer
        if each.name.startswith(_PREFIX)
    }
    try:
        size = NetworkSize(
            first=len(tensors["bins.0.weight"]),
            second=len(tensors["to_semitones.0.weight"]),
            pitch=len(tensors["local.0.weight"]),
            lstm=tensors["lstm.weight_hh_l0"].shape[1],
        )
        network = PianoNetwork(size)
        for name in ("gather", "regather"):
            _unfold(tensors, name, getattr(network, name))
        for name, value in network.state_dict().items():
            if name.endswith("num_batches_tracked"):
                tensors[name] = value
        network.load_state_dict(tensors)
    except (KeyError, RuntimeError) as error:
        raise ValueError(f"{model} holds no piano network that is known here: {error}") from error
    return network.eval()


def _unfold(tensors: dict[str, Tensor], name: str, gather: HarmonicGather) -> None:
    """Make a folded bias the shift of a norm that does nothing else."""
    norm = gather.norm
    if not isinstance(norm, nn.BatchNorm2d):
        raise TypeError(f"{name} has no norm")
    bias = tensors.pop(f"{name}.combs.0.bias")
    tensors[f"{name}.norm.weight"] = torch.ones_like(bias)
    tensors[f"{name}.norm.bias"] = bias
    tensors[f"{name}.norm.running_mean"] = torch.zeros_like(bias)
    tensors[f"{name}.norm.running_var"] = torch.full_like(bias, 1 - norm.eps)
