"""A Python-based `onnxruntime` backend for Triton: runs `model.onnx` by the onnxruntime wheel.

It stands in for NVIDIA's C++ backend of the same name where that cannot be had, so that one
`config.pbtxt` serves both. Of a model's configuration it honours what the C++ backend does:
`parameters` (`intra_op_thread_count`, `inter_op_thread_count`, `execution_mode`, `enable_mem_arena`,
`enable_mem_pattern`), `optimization.graph.level`, the instance's kind and device, and the file name
in `default_model_filename`. On a GPU the requests that Triton's dynamic batcher hands over together run
as one batch. On a CPU each row runs by itself: a batch of 8 takes 8 times the memory there, and was
measured to take longer.

It runs inside Triton's own Python environment, where nothing of Copyist can be imported.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as pb_utils

_GRAPH_LEVELS = {
    -1: ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    1: ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    2: ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
}
_TRUE_WORDS = ("1", "true", "yes", "on")

Arrays = dict[str, np.ndarray[Any, Any]]


def session_options(config: Mapping[str, Any]) -> ort.SessionOptions:
    """ONNX Runtime's options as the model's configuration asks for them.

    Args:
        config: the model's configuration, as Triton's JSON of `ModelConfig`.
    """
    given = {name: entry["string_value"] for name, entry in config.get("parameters", {}).items()}
    options = ort.SessionOptions()
    options.intra_op_num_threads = int(given.get("intra_op_thread_count", 0))
    options.inter_op_num_threads = int(given.get("inter_op_thread_count", 0))
    if int(given.get("execution_mode", 0)) == 1:
        options.execution_mode = ort.ExecutionMode.ORT_PARALLEL
    if "enable_mem_arena" in given:
        options.enable_cpu_mem_arena = given["enable_mem_arena"].lower() in _TRUE_WORDS
    if "enable_mem_pattern" in given:
        options.enable_mem_pattern = given["enable_mem_pattern"].lower() in _TRUE_WORDS
    level = config.get("optimization", {}).get("graph", {}).get("level", 0)
    options.graph_optimization_level = _GRAPH_LEVELS.get(
        int(level), ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    )
    return options


def providers(kind: str, device: int) -> list[Any]:
    """Execution providers for an instance: CUDA first where the instance sits on a GPU that can be used."""
    if kind != "GPU":
        return ["CPUExecutionProvider"]
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        pb_utils.Logger.log_warn("this onnxruntime has no CUDA provider: the model runs on the CPU")
        return ["CPUExecutionProvider"]
    return [("CUDAExecutionProvider", {"device_id": device}), "CPUExecutionProvider"]


def check_names(kind: str, configured: Sequence[Mapping[str, Any]], found: Sequence[str]) -> list[str]:
    """The configured tensor names of one kind (input or output), all of which the graph must have.

    Raises:
        TritonModelException: the graph lacks one of them.
    """
    names = [entry["name"] for entry in configured]
    missing = [name for name in names if name not in found]
    if missing:
        raise pb_utils.TritonModelException(
            f"config.pbtxt names the {kind} {', '.join(missing)}, but model.onnx has {', '.join(found)}"
        )
    return names


class TritonPythonModel:
    """One instance of one model version; Triton calls it from a process of its own."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Load the model; called once, before the first request.

        Args:
            args: what Triton tells of the instance: its configuration, its place on disk, its device.
        """
        config = json.loads(args["model_config"])
        file_name = config.get("default_model_filename") or "model.onnx"
        path = Path(args["model_repository"], args["model_version"], file_name)
        devices = providers(args["model_instance_kind"], int(args["model_instance_device_id"]))
        self._batched = int(config.get("max_batch_size", 0)) > 0
        self._by_rows = self._batched and devices == ["CPUExecutionProvider"]
        self._session = ort.InferenceSession(path, session_options(config), devices)
        self._inputs = check_names("input", config["input"], [i.name for i in self._session.get_inputs()])
        self._outputs = check_names("output", config["output"], [o.name for o in self._session.get_outputs()])

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer the requests, each with its outputs or with its own error.

        Where the requests fail together they are tried one by one, so that only the bad one fails.
        """
        if len(requests) > 1 and self._batched and not self._by_rows:
            try:
                return self._answer_together(requests)
            except Exception as error:
                pb_utils.Logger.log_warn(f"a batch of {len(requests)} requests failed, trying each: {error}")
        return self._answer_each(requests)

    def _answer_each(self, requests: Sequence[Any]) -> list[Any]:
        answers: list[Any] = []
        previous: Arrays | None = None
        outputs: Arrays = {}
        for request in requests:
            try:
                feed = self._feed(request)
                # Triton warms a model up with copies of one request: run once, it starts sooner.
                if previous is None or not _equal(feed, previous):
                    previous = None
                    outputs = self._run_rows(feed) if self._by_rows else self._run(feed)
                    previous = feed
                answers.append(self._response(request, outputs))
            except Exception as error:
                answers.append(
                    pb_utils.InferenceResponse(error=pb_utils.TritonError(f"onnxruntime: {error}"))
                )
        return answers

    def _answer_together(self, requests: Sequence[Any]) -> list[Any]:
        feeds = [self._feed(request) for request in requests]
        ends = np.cumsum([_rows(feed) for feed in feeds])
        joint = {name: np.concatenate([feed[name] for feed in feeds]) for name in self._inputs}
        outputs = self._run(joint)
        return [
            self._response(request, {name: array[end - _rows(feed) : end] for name, array in outputs.items()})
            for request, feed, end in zip(requests, feeds, ends, strict=True)
        ]

    def _run(self, feed: Arrays) -> Arrays:
        return dict(zip(self._outputs, self._session.run(self._outputs, feed), strict=True))

    def _run_rows(self, feed: Arrays) -> Arrays:
        if _rows(feed) == 1:
            return self._run(feed)
        rows = [
            self._run({name: array[row : row + 1] for name, array in feed.items()})
            for row in range(_rows(feed))
        ]
        return {name: np.concatenate([row[name] for row in rows]) for name in self._outputs}

    def _feed(self, request: Any) -> Arrays:
        return {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self._inputs}

    @staticmethod
    def _response(request: Any, outputs: Arrays) -> Any:
        asked = request.requested_output_names()
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor(name, array) for name, array in outputs.items() if name in asked]
        )


def _rows(feed: Arrays) -> int:
    return len(next(iter(feed.values())))


def _equal(one: Arrays, other: Arrays) -> bool:
    return all(np.array_equal(one[name], other[name]) for name in one)
