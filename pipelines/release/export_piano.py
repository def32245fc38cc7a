"""From a checkpoint of the `piano` model to the ONNX file that Triton serves.

The graph holds everything between int16 samples and uint8 posteriors, with the batch as the one
dynamic axis. What it answers is checked against the network's own answer before it is kept.
"""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipelines.release.record import LARGEST_FILE_BYTES, OPSET
from pipelines.training.piano.network import NetworkSize, PianoNetwork
from services.amt.contract import CHUNK_SAMPLES, PIANO

#: Of a posterior, of 255: rounding.
LARGEST_DIFFERENCE = 1


class Served(nn.Module):
    """The network as it is served: int16 [B, CHUNK_SAMPLES] -> uint8 [B, 4, CHUNK_FRAMES, 88]."""

    def __init__(self, network: PianoNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, audio: Tensor) -> Tensor:
        """Samples to posteriors."""
        likely = torch.sigmoid(self.network(audio.float() / 32768))
        return torch.round(likely * 255).to(torch.uint8)


def load_network(checkpoint: Path) -> PianoNetwork:
    """The averaged network of a training run's checkpoint, on the CPU."""
    state = torch.load(checkpoint, map_location="cpu")
    network = PianoNetwork(NetworkSize(pitch=state["recipe"]["pitch_channels"]))
    network.load_state_dict(state["average"])
    return network.eval()


def export(network: PianoNetwork, path: Path) -> float:
    """Write `network` to `path` as ONNX.

    Returns:
        the share of posteriors in which ONNX Runtime differs from torch, by at most 1 of 255.

    Raises:
        ValueError: the two differ by more, or the file is too large to ship.
    """
    network = copy.deepcopy(network)
    for layer in (network.gather, network.regather):
        layer.fold_norm()
    served = Served(network).eval()
    random = np.random.default_rng(0)
    sound = random.normal(0, 1600, (2, CHUNK_SAMPLES)).astype(np.int16)
    audio, posteriors = PIANO.inputs[0].name, PIANO.outputs[0].name
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        # The tracer warns of the LSTM's batch and of shapes that are in fact constant.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            served,
            (torch.from_numpy(sound),),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            # Folding would store the half-precision kernels of the spectrogram as floats.
            do_constant_folding=False,
            input_names=[audio],
            output_names=[posteriors],
            dynamic_axes={audio: {0: "batch"}, posteriors: {0: "batch"}},
        )
    onnx.checker.check_model(str(path))
    if path.stat().st_size > LARGEST_FILE_BYTES:
        raise ValueError(f"{path} is larger than {LARGEST_FILE_BYTES} bytes.")
    most, share = difference(served, path, sound)
    if most > LARGEST_DIFFERENCE:
        raise ValueError(f"ONNX Runtime differs from torch by {most} of 255.")
    return share


def difference(served: Served, path: Path, sound: NDArray[np.int16]) -> tuple[int, float]:
    """How far ONNX Runtime differs from torch on chunks [B, CHUNK_SAMPLES].

    Returns:
        the largest difference, of 255, and the share of values that differ.
    """
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        ours = served(torch.from_numpy(sound)).numpy().astype(int)
    theirs = session.run(None, {PIANO.inputs[0].name: sound})[0].astype(int)
    return int(np.abs(ours - theirs).max()), float(np.mean(ours != theirs))
