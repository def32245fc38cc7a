"""Models with one thing wrong with each: a maker reads the ONNX file of a real model and writes another.

The gates must stop each of them, and serving must survive each of them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from services.amt.contract import CHUNK_FRAMES
from services.omr.contract import FIELDS, SCORE, TILE_PX, X

#: A maker of a spoiled model: from the file of a real one to the file of another.
Maker = Callable[[Path, Path], None]

_ROWS = "spoiled_rows"
_MIXED = 0.3
#: Written as hexadecimal digits it takes twice as many bytes.
_BALLAST_BYTES = 9 * 2**20


def as_it_is(model: Path, to: Path) -> None:
    """Nothing wrong: another file of the same answers, as a second export of the same weights is."""
    proto = onnx.load(model)
    proto.producer_name = "exported once more"
    _save(proto, to)


def rounded(model: Path, to: Path) -> None:
    """Nothing wrong: weights that differ in their last bits, as those of another machine do."""
    proto, random = onnx.load(model), np.random.default_rng(3)
    for weights in proto.graph.initializer:
        values = numpy_helper.to_array(weights)
        if values.dtype == np.float32 and values.ndim > 1:
            moved = values * (1 + 1e-6 * random.standard_normal(values.shape)).astype(np.float32)
            weights.CopyFrom(numpy_helper.from_array(moved.astype(np.float32), weights.name))
    _save(proto, to)


def noisy(model: Path, to: Path, share: float = 0.15) -> None:
    """Noise in its weights: `share` of each tensor's own spread."""
    proto, random = onnx.load(model), np.random.default_rng(1)
    for weights in proto.graph.initializer:
        values = numpy_helper.to_array(weights)
        if values.dtype == np.float32 and values.ndim > 1 and values.std() > 0:
            moved = values + share * values.std() * random.standard_normal(values.shape)
            weights.CopyFrom(numpy_helper.from_array(moved.astype(np.float32), weights.name))
    _save(proto, to)


def garbage(model: Path, to: Path) -> None:
    """Right in form, and without any sense: all of its weights are shuffled."""
    proto, random = onnx.load(model), np.random.default_rng(2)
    for weights in proto.graph.initializer:
        values = numpy_helper.to_array(weights)
        if values.dtype == np.float32 and values.ndim > 1:
            shuffled = random.permutation(values.ravel()).reshape(values.shape)
            weights.CopyFrom(numpy_helper.from_array(shuffled, weights.name))
    _save(proto, to)


def slow(model: Path, to: Path, times: int = 2) -> None:
    """Right, but it does all of its work `times` times: in as many copies of the graph.

    An optimiser would merge equal nodes, so each copy is given the rows of the batch in another order, and
    the answer is taken from all copies' answers laid one behind the other.
    """
    proto = onnx.load(model)
    graph = proto.graph
    inputs, outputs = [i.name for i in graph.input], [o.name for o in graph.output]
    kept = {weights.name for weights in graph.initializer}
    nodes = list(graph.node)
    del graph.node[:]
    _count_rows(graph, inputs[0])
    for copy in range(times):
        names = {name: f"{name}/copy{copy}" for name in inputs + outputs}
        _roll_rows(graph, copy)
        graph.node.extend(
            helper.make_node("Gather", [name, f"{_ROWS}/copy{copy}"], [names[name]], axis=0)
            for name in inputs
        )
        for node in nodes:
            graph.node.append(_renamed(node, names, kept, f"/copy{copy}"))
    for name in outputs:
        copies = [f"{name}/copy{copy}" for copy in range(times)]
        graph.node.append(helper.make_node("Concat", copies, [f"{name}/all"], axis=0))
        graph.node.append(helper.make_node("Gather", [f"{name}/all", _ROWS], [name], axis=0))
    _save(proto, to)


def batch_dependent(model: Path, to: Path) -> None:
    """Right when asked alone, but each row hears something of the others in its batch: their mean."""
    proto = onnx.load(model)
    graph = proto.graph
    (entry,) = graph.input
    kind = entry.type.tensor_type.elem_type
    _rename_uses(graph, entry.name, f"{entry.name}/mixed")
    added = [
        helper.make_node("Cast", [entry.name], ["spoiled/float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["spoiled/float"], ["spoiled/mean"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["spoiled/mean", "spoiled/float"], ["spoiled/apart"]),
        helper.make_node("Mul", ["spoiled/apart", "spoiled/share"], ["spoiled/part"]),
        helper.make_node("Add", ["spoiled/float", "spoiled/part"], ["spoiled/sum"]),
        helper.make_node("Cast", ["spoiled/sum"], [f"{entry.name}/mixed"], to=kind),
    ]
    graph.initializer.append(numpy_helper.from_array(np.float32(_MIXED), "spoiled/share"))
    _put_first(graph, added)
    _save(proto, to)


def position_dependent(model: Path, to: Path) -> None:
    """Its answers fade towards the end of what it is given: of a chunk, of a tile.

    For models whose first answer is posteriors over time (uint8 [B, heads, frames, keys]) or candidates
    (float [B, candidates, fields]): `piano` and `symbols`.
    """
    proto = onnx.load(model)
    graph = proto.graph
    answer = graph.output[0]
    _rename_uses(graph, answer.name, f"{answer.name}/even")
    if answer.type.tensor_type.elem_type == TensorProto.UINT8:
        fading = np.linspace(1.0, 0.4, CHUNK_FRAMES, dtype=np.float32)[:, None]
        graph.initializer.append(numpy_helper.from_array(fading, "spoiled/fading"))
        graph.node.extend(
            [
                helper.make_node("Cast", [f"{answer.name}/even"], ["spoiled/float"], to=TensorProto.FLOAT),
                helper.make_node("Mul", ["spoiled/float", "spoiled/fading"], ["spoiled/faded"]),
                helper.make_node("Cast", ["spoiled/faded"], [answer.name], to=TensorProto.UINT8),
            ]
        )
    else:
        _fade_across(graph, f"{answer.name}/even", answer.name)
    _save(proto, to)


def too_large(model: Path, to: Path) -> None:
    """Right, but its file is larger than any that is shipped."""
    proto, random = onnx.load(model), np.random.default_rng(4)
    ballast = random.integers(0, 256, _BALLAST_BYTES, np.uint8)
    proto.metadata_props.append(onnx.StringStringEntryProto(key="ballast", value=ballast.tobytes().hex()))
    _save(proto, to)


def wrong_contract(model: Path, to: Path) -> None:
    """Right, but its first answer comes in another type: floats for bytes, doubles for floats."""
    proto = onnx.load(model)
    graph = proto.graph
    answer = graph.output[0]
    kind = answer.type.tensor_type
    other = TensorProto.FLOAT if kind.elem_type == TensorProto.UINT8 else TensorProto.DOUBLE
    _rename_uses(graph, answer.name, f"{answer.name}/right")
    graph.node.append(helper.make_node("Cast", [f"{answer.name}/right"], [answer.name], to=other))
    kind.elem_type = other
    _save(proto, to)


def crashing(model: Path, to: Path) -> None:
    """No model at all: half of the file of one."""
    whole = model.read_bytes()
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_bytes(whole[: len(whole) // 2])


def _save(proto: onnx.ModelProto, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(proto, to)


def _count_rows(graph: onnx.GraphProto, entry: str) -> None:
    """Make `_ROWS`, the numbers of the rows of the batch, which no optimiser knows beforehand."""
    numbers = {"spoiled/zero": np.int64(0), "spoiled/one": np.int64(1)}
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in numbers.items())
    graph.node.extend(
        [
            helper.make_node("Shape", [entry], ["spoiled/shape"]),
            helper.make_node("Gather", ["spoiled/shape", "spoiled/zero"], ["spoiled/count"], axis=0),
            helper.make_node("Range", ["spoiled/zero", "spoiled/count", "spoiled/one"], [_ROWS]),
        ]
    )


def _roll_rows(graph: onnx.GraphProto, copy: int) -> None:
    """Make the numbers of the rows in another order for each copy, for the first as they are."""
    by, rolled = f"spoiled/by{copy}", f"{_ROWS}/copy{copy}"
    graph.initializer.append(numpy_helper.from_array(np.int64(copy), by))
    graph.node.append(helper.make_node("Add", [_ROWS, by], [f"{rolled}/far"]))
    graph.node.append(helper.make_node("Mod", [f"{rolled}/far", "spoiled/count"], [rolled]))


def _renamed(node: onnx.NodeProto, names: dict[str, str], kept: set[str], suffix: str) -> onnx.NodeProto:
    """A copy of a node between tensors of other names; weights are shared."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.name = node.name + suffix
    for field in (copy.input, copy.output):
        for index, name in enumerate(field):
            if name and name not in kept:
                field[index] = names.get(name, name + suffix)
    return copy


def _rename_uses(graph: onnx.GraphProto, name: str, to: str) -> None:
    """Have all nodes that make or take a tensor make or take another."""
    for node in graph.node:
        for field in (node.input, node.output):
            for index, each in enumerate(field):
                if each == name:
                    field[index] = to


def _put_first(graph: onnx.GraphProto, added: list[onnx.NodeProto]) -> None:
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend(added + nodes)


def _fade_across(graph: onnx.GraphProto, given: str, answer: str) -> None:
    """Lower the candidates' scores by where they stand in the tile: by half at its right edge."""
    constants = {
        "spoiled/score_at": np.array([SCORE], np.int64),
        "spoiled/place_at": np.array([X], np.int64),
        "spoiled/rest_at": np.arange(SCORE + 1, FIELDS, dtype=np.int64),
        "spoiled/slope": np.float32(-0.5 / TILE_PX),
        "spoiled/whole": np.float32(1),
    }
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    graph.node.extend(
        [
            helper.make_node("Gather", [given, "spoiled/score_at"], ["spoiled/score"], axis=2),
            helper.make_node("Gather", [given, "spoiled/place_at"], ["spoiled/place"], axis=2),
            helper.make_node("Gather", [given, "spoiled/rest_at"], ["spoiled/rest"], axis=2),
            helper.make_node("Mul", ["spoiled/place", "spoiled/slope"], ["spoiled/less"]),
            helper.make_node("Add", ["spoiled/less", "spoiled/whole"], ["spoiled/fading"]),
            helper.make_node("Mul", ["spoiled/score", "spoiled/fading"], ["spoiled/faded"]),
            helper.make_node("Concat", ["spoiled/faded", "spoiled/rest"], [answer], axis=2),
        ]
    )
