"""What can be told of a candidate without asking it much: its tensors, its card, its size."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime

from pipelines.evaluation.gates.models import ModelFiles, NoModelError, open_session
from pipelines.evaluation.gates.suites import Suite
from pipelines.evaluation.gates.verdicts import Budgets, Finding
from services.runtime.contract import TensorSpec
from services.runtime.profiles import Edges

#: What ONNX Runtime 1.19 of NVIDIA's image tritonserver:24.10 reads.
_NEWEST_OPSET: Final = 21
_NEWEST_IR: Final = 10
#: KServe's names of element types, by ONNX Runtime's.
_DATATYPES: Final = {
    "tensor(int16)": "INT16",
    "tensor(uint8)": "UINT8",
    "tensor(float)": "FP32",
}
_WORDS: Final = ("task", "data", "licence")
_COMMIT: Final = re.compile(r"[0-9a-f]{7,40}")


def contract(suite: Suite, files: ModelFiles) -> list[Finding]:
    """Whether the model loads and has the very tensors that services call it by."""
    wrong = list(_contract_faults(suite, files))
    if wrong:
        return [Finding("contract", False, text) for text in wrong]
    return [Finding("contract", True, "It loads, and its tensors are those of the contract.")]


def card(suite: Suite, files: ModelFiles) -> list[Finding]:
    """Whether the card tells all that services and people read off it."""
    wrong = list(_card_faults(suite, files))
    if wrong:
        return [Finding("card", False, text) for text in wrong]
    return [Finding("card", True, "The card is complete and belongs to this file.")]


def size(files: ModelFiles, budgets: Budgets) -> list[Finding]:
    """Whether the file is small enough."""
    found = files.onnx.stat().st_size
    figures = {"bytes": float(found), "budget_bytes": float(budgets.size_bytes)}
    sizes = f"{found / 2**20:.1f} MiB; {budgets.size_bytes / 2**20:.1f} MiB are allowed"
    return [Finding("size", found <= budgets.size_bytes, f"The file has {sizes}.", figures)]


def _contract_faults(suite: Suite, files: ModelFiles) -> Iterator[str]:
    try:
        session = open_session(files.onnx)
        proto = onnx.load(str(files.onnx), load_external_data=False)
    except NoModelError as error:
        yield error.detail
        return
    opset = max(each.version for each in proto.opset_import if each.domain in ("", "ai.onnx"))
    if opset > _NEWEST_OPSET or proto.ir_version > _NEWEST_IR:
        yield (
            f"It is written in opset {opset} and IR version {proto.ir_version}; Triton reads up to "
            f"{_NEWEST_OPSET} and {_NEWEST_IR}."
        )
    contract = suite.contract
    faults = [
        *_tensor_faults("input", contract.inputs, session.get_inputs()),
        *_tensor_faults("output", contract.outputs, session.get_outputs()),
    ]
    yield from faults
    if not faults:
        yield from _answer_faults(suite, session)


def _tensor_faults(side: str, wanted: tuple[TensorSpec, ...], found: list[Any]) -> Iterator[str]:
    """What names and types say before the model is asked anything."""
    by_name = {each.name: each for each in found}
    if set(by_name) != {tensor.name for tensor in wanted}:
        names = ", ".join(tensor.name for tensor in wanted)
        yield f"Its {side}s are called {', '.join(by_name)}; the contract has {names}."
        return
    for tensor in wanted:
        datatype = _DATATYPES.get(by_name[tensor.name].type, by_name[tensor.name].type)
        if datatype != tensor.datatype:
            yield f"Its {side} {tensor.name} is {datatype}; the contract has {tensor.datatype}."


def _answer_faults(suite: Suite, session: onnxruntime.InferenceSession) -> Iterator[str]:
    """What is wrong with the answers to a batch of two."""
    given = suite.inputs(2)
    names = [tensor.name for tensor in suite.contract.outputs]
    try:
        answers = session.run(names, {suite.contract.inputs[0].name: given})
    except Exception as error:  # ONNX Runtime's own exceptions have no public base class
        yield f"It fails on a batch of 2: {error}"
        return
    for tensor, answer in zip(suite.contract.outputs, answers, strict=True):
        if answer.shape != (2, *tensor.shape):
            wanted = list(tensor.shape)
            yield f"To a batch of 2 its output {tensor.name} is {list(answer.shape)}, not {[2, *wanted]}."
        elif not np.isfinite(answer).all():
            yield f"Its output {tensor.name} holds values that are no numbers."


def _card_faults(suite: Suite, files: ModelFiles) -> Iterator[str]:
    said = files.card
    if said.get("name") != suite.contract.model:
        yield f"The card is that of {said.get('name')!r}, not of {suite.contract.model!r}."
    for field in _WORDS:
        if not isinstance(said.get(field), str) or not said[field].strip():
            yield f"The card says nothing under {field!r}."
    if not _COMMIT.fullmatch(str(said.get("commit", ""))):
        yield "The card names no commit that the recipe lies in."
    if said.get("sha256") != hashlib.sha256(files.onnx.read_bytes()).hexdigest():
        yield "The card belongs to another file: its sha256 is not that of model.onnx."
    for field in ("recipe", "measures"):
        if not isinstance(said.get(field), Mapping) or not said[field]:
            yield f"The card holds no {field}."
    yield from _threshold_faults(suite, said.get("thresholds", {}))
    if suite.edges is not None:
        yield from _profile_faults(suite.edges, said.get("profile"))


def _threshold_faults(suite: Suite, thresholds: Any) -> Iterator[str]:
    needed, known = suite.thresholds_needed, suite.thresholds_needed | suite.thresholds_known
    if not isinstance(thresholds, Mapping):
        yield "The card's thresholds are no object."
        return
    for name in sorted(needed - set(thresholds)):
        yield f"The card lacks the threshold {name!r}."
    for name, value in thresholds.items():
        if name not in known:
            yield f"The card has a threshold {name!r}, which nothing reads."
        elif isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            yield f"The threshold {name!r} is {value!r}, not a number from 0 up."


def _profile_faults(edges_of: Edges, profile: Any) -> Iterator[str]:
    """What keeps live traffic from being compared with the card's reference profile."""
    if not isinstance(profile, Mapping) or not profile.get("observations"):
        yield "The card holds no reference profile: measure it (pipelines.release.profiles)."
        return
    features = profile.get("features", {})
    for feature, edges in edges_of.items():
        stated = features.get(feature)
        if stated is None or tuple(stated["edges"]) != tuple(edges):
            yield f"The profile's bins of {feature!r} are not those in which services count: measure it anew."
        elif len(stated["shares"]) != len(edges) + 1 or abs(sum(stated["shares"]) - 1) > 1e-6:
            yield f"The profile's shares of {feature!r} do not sum to 1."
    if not profile.get("checks"):
        yield "The profile holds no checks."
