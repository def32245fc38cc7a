"""A stand-in for the piano model: the same tensors, the same chord every second, in no time.

What the model sees is a decoded recording, which cannot be malformed any more, however broken the file was.
With the model itself, half a second for every mutant that is accepted, a campaign would take hours.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from services.amt.contract import CHUNK_FRAMES, FRAME, FRAME_S, HEADS, OFFSET, ONSET, PIANO, PITCHES, VELOCITY

_CHORD = (39, 43, 46)
_SECOND = round(1 / FRAME_S)


def repository(folder: Path, real: Path) -> Path:
    """Lay a model repository into `folder`: the real models and cards, but for the piano's network."""
    shutil.copytree(real, folder)
    network = folder / PIANO.model / "1" / "model.onnx"
    network.unlink()
    onnx.save(_model(), network)
    return folder


def _posteriors() -> np.ndarray:
    posteriors = np.zeros((1, len(HEADS), CHUNK_FRAMES, PITCHES), np.uint8)
    for start in range(0, CHUNK_FRAMES - _SECOND, _SECOND):
        for pitch in _CHORD:
            posteriors[0, ONSET, start + 4 : start + 7, pitch] = (150, 255, 150)
            posteriors[0, FRAME, start + 5 : start + 30, pitch] = 255
            posteriors[0, OFFSET, start + 29 : start + 32, pitch] = (150, 255, 150)
            posteriors[0, VELOCITY, start + 4 : start + 30, pitch] = 128
    return posteriors


def _model() -> onnx.ModelProto:
    """The same posteriors for every chunk of a batch."""
    (audio,), (posteriors,) = PIANO.inputs, PIANO.outputs
    nodes = [
        helper.make_node("Shape", ["audio"], ["batch"], start=0, end=1),
        helper.make_node("Concat", ["batch", "shape"], ["whole"], axis=0),
        helper.make_node("Expand", ["chord", "whole"], ["posteriors"]),
    ]
    constants = [
        numpy_helper.from_array(_posteriors(), "chord"),
        numpy_helper.from_array(np.array(posteriors.shape, np.int64), "shape"),
    ]
    graph = helper.make_graph(
        nodes,
        "chord",
        [helper.make_tensor_value_info("audio", TensorProto.INT16, ["batch", *audio.shape])],
        [helper.make_tensor_value_info("posteriors", TensorProto.UINT8, ["batch", *posteriors.shape])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model
