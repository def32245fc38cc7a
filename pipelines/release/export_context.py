"""From a checkpoint of the `context` model to the ONNX file that Triton serves."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from pipelines.release.record import LARGEST_FILE_BYTES, OPSET
from pipelines.training.context.network import ContextExport, ContextNetwork
from services.omr import contract

#: Probabilities and log-probabilities may differ by so much between torch and ONNX Runtime.
TOLERANCE = 1e-3


def load_network(checkpoint: Path) -> ContextNetwork:
    """The network of a training run's checkpoint, on the CPU."""
    network = ContextNetwork()
    network.load_state_dict(torch.load(checkpoint, map_location="cpu")["network"])
    return network.eval()


def export(network: ContextNetwork, path: Path) -> float:
    """Write `network` to `path` as ONNX, the batch its one dynamic axis.

    Returns:
        the largest difference between ONNX Runtime's answers and torch's.

    Raises:
        ValueError: the two differ by more than `TOLERANCE`, or the file is too large to ship.
    """
    served = ContextExport(network).eval()
    candidates, readings = contract.CONTEXT.inputs[0].name, contract.CONTEXT.outputs[0].name
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with warnings.catch_warnings():
        # The tracer warns that an LSTM's initial state is made for the batch it was traced with; other
        # batches are tried below.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            served,
            (example(2),),
            str(partial),
            dynamo=False,
            opset_version=OPSET,
            input_names=[candidates],
            output_names=[readings],
            dynamic_axes={candidates: {0: "batch"}, readings: {0: "batch"}},
        )
    onnx.checker.check_model(str(partial))
    if partial.stat().st_size > LARGEST_FILE_BYTES:
        raise ValueError(f"{path} is larger than {LARGEST_FILE_BYTES} bytes.")
    worst = max(difference(network, partial, example(batch)) for batch in (1, 2, 5))
    if worst > TOLERANCE:
        raise ValueError(f"ONNX Runtime differs from torch by {worst}.")
    partial.replace(path)
    return worst


def difference(network: ContextNetwork, path: Path, candidates: torch.Tensor) -> float:
    """The largest difference between ONNX Runtime's answers and torch's, on [B, SEQUENCE, CONTEXT_FIELDS]."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        ours = ContextExport(network).eval()(candidates).numpy()
    theirs = session.run(None, {contract.CONTEXT.inputs[0].name: candidates.numpy()})[0]
    return float(np.abs(ours - theirs).max())


def example(batch: int) -> torch.Tensor:
    """Random candidates in the ranges that real ones have: [batch, SEQUENCE, CONTEXT_FIELDS]."""
    random = np.random.default_rng(batch)
    candidates = random.normal(0, 1, (batch, *contract.CONTEXT.inputs[0].shape)).astype(np.float32)
    candidates[..., contract.CLASS] = random.integers(0, 60, candidates.shape[:2])
    candidates[..., contract.PRESENT] = np.arange(contract.SEQUENCE) < 200
    return torch.from_numpy(candidates)
