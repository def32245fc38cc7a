"""Small ONNX models and the repositories that serve them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from services.runtime.contract import ModelContract, TensorSpec

#: y = 10 x for x in 0..3; an x outside of that fails inside ONNX Runtime.
LOOKUP = ModelContract(
    "lookup", (TensorSpec("x", "INT32", (1,)),), (TensorSpec("y", "INT32", (1,)),), max_batch=8
)
#: y = 0 whatever x is, after a good tenth of a second.
SLOW = ModelContract(
    "slow", (TensorSpec("x", "INT32", (1,)),), (TensorSpec("y", "INT32", (1,)),), max_batch=1
)

_QUEUE = "dynamic_batching { default_queue_policy { timeout_action: REJECT max_queue_size: %d } }"


def repository(folder: Path) -> Path:
    """A model repository with both models."""
    add(folder, LOOKUP, lookup_model(10))
    add(folder, SLOW, slow_model(), instances=1, queue=1)
    return folder


def add(
    folder: Path, contract: ModelContract, model: onnx.ModelProto, *, instances: int = 2, queue: int = 64
) -> None:
    """Add version 1 of a model, with its configuration, to a repository."""
    place = folder / contract.model
    place.mkdir(parents=True)
    (x,), (y,) = contract.inputs, contract.outputs
    (place / "config.pbtxt").write_text(
        f'name: "{contract.model}" backend: "onnxruntime" max_batch_size: {contract.max_batch}\n'
        f'input [ {{ name: "{x.name}" data_type: TYPE_{x.datatype} dims: {list(x.shape)} }} ]\n'
        f'output [ {{ name: "{y.name}" data_type: TYPE_{y.datatype} dims: {list(y.shape)} }} ]\n'
        f"instance_group [ {{ kind: KIND_AUTO count: {instances} }} ]\n"
        "version_policy { latest { num_versions: 2 } }\n" + _QUEUE % queue + "\n"
        'parameters { key: "intra_op_thread_count" value: { string_value: "1" } }\n'
    )
    (place / "card.json").write_text(json.dumps({"name": contract.model}))
    add_version(folder, contract.model, 1, model)


def add_version(folder: Path, name: str, version: int, model: onnx.ModelProto) -> None:
    """Add a version to a model that the repository has."""
    place = folder / name / str(version)
    place.mkdir()
    onnx.save(model, place / "model.onnx")


def lookup_model(factor: int) -> onnx.ModelProto:
    """y = factor x, for x in 0..3."""
    table = numpy_helper.from_array(np.arange(4, dtype=np.int32) * factor, "table")
    return _model([helper.make_node("Gather", ["table", "x"], ["y"])], [table])


def slow_model() -> onnx.ModelProto:
    """y = 0 x, with large products of matrices on the way."""
    size, products = 400, 12
    ones = numpy_helper.from_array(np.full((size, size), 1e-6, np.float32), "m0")
    zero = numpy_helper.from_array(np.zeros(1, np.int32), "zero")
    nodes = [
        helper.make_node("Cast", ["x"], ["xf"], to=TensorProto.FLOAT),
        # Depends on the input, so that it is not computed once, at loading.
        helper.make_node("Add", ["m0", "xf"], ["p0"]),
        *(helper.make_node("MatMul", [f"p{i}", "m0"], [f"p{i + 1}"]) for i in range(products)),
        helper.make_node("ReduceMax", [f"p{products}"], ["most"], keepdims=0),
        helper.make_node("Cast", ["most"], ["most_int"], to=TensorProto.INT32),
        helper.make_node("Mul", ["most_int", "zero"], ["nought"]),
        helper.make_node("Mul", ["x", "nought"], ["y"]),
    ]
    return _model(nodes, [ones, zero])


def _model(nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto]) -> onnx.ModelProto:
    x = helper.make_tensor_value_info("x", TensorProto.INT32, ["batch", 1])
    y = helper.make_tensor_value_info("y", TensorProto.INT32, ["batch", 1])
    graph = helper.make_graph(nodes, "test", [x], [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model
