"""The tensor contract of a model: what goes in, what comes out, declared once.

The training pipeline exports to it, the services call by it, and a test checks every `config.pbtxt`
against it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One tensor of a model, without its batch axis.

    Attributes:
        name: the tensor's name in the ONNX graph and in `config.pbtxt`.
        datatype: KServe/Triton name of the element type, such as `UINT8` or `INT16`.
        shape: sizes of the axes after the batch axis.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ModelContract:
    """A model's name and its input and output tensors; the first axis of each is the batch."""

    model: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    max_batch: int
