"""The onnxruntime backend by itself, with a stand-in for what Triton gives it."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import services.triton
from tests.triton.models import lookup_model

SOURCE = Path(services.triton.__path__[0]) / "backends" / "onnxruntime" / "model.py"


class Tensor:
    def __init__(self, name: str, array: np.ndarray[Any, Any]) -> None:
        self.name, self.array = name, array

    def as_numpy(self) -> np.ndarray[Any, Any]:
        return self.array


class Request:
    def __init__(self, *xs: int, outputs: tuple[str, ...] = ("y",)) -> None:
        self.tensor = Tensor("x", np.array(xs, np.int32)[:, None])
        self.outputs = outputs

    def requested_output_names(self) -> tuple[str, ...]:
        return self.outputs


class Response:
    def __init__(self, output_tensors: list[Tensor] | None = None, error: str | None = None) -> None:
        self.outputs = {t.name: t.array.ravel().tolist() for t in output_tensors or []}
        self.error = error


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    utils = ModuleType("triton_python_backend_utils")
    utils.Tensor = Tensor
    utils.InferenceResponse = Response
    utils.TritonError = str
    utils.TritonModelException = RuntimeError
    utils.Logger = SimpleNamespace(log_warn=lambda _: None)
    utils.get_input_tensor_by_name = lambda request, _: request.tensor
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", utils)
    spec = importlib.util.spec_from_file_location("onnxruntime_backend", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module


class Session:
    """Counts the runs of a real session."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self.session = session
        self.batches: list[int] = []

    def run(self, outputs: list[str], feed: dict[str, np.ndarray[Any, Any]]) -> Any:
        self.batches.append(len(feed["x"]))
        return self.session.run(outputs, feed)


def instance(backend: ModuleType, folder: Path, *, batches: bool, **changes: Any) -> tuple[Any, Session]:
    """An instance of the lookup model, which runs whole batches as on a GPU, or rows as on a CPU."""
    (folder / "1").mkdir()
    onnx.save(lookup_model(10), folder / "1" / "model.onnx")
    config = {"max_batch_size": 8, "input": [{"name": "x"}], "output": [{"name": "y"}], **changes}
    model = backend.TritonPythonModel()
    model.initialize(
        {
            "model_config": json.dumps(config),
            "model_repository": str(folder),
            "model_version": "1",
            "model_instance_kind": "CPU",
            "model_instance_device_id": "0",
        }
    )
    model._by_rows = not batches
    session = model._session = Session(model._session)
    return model, session


def test_a_joint_batch_runs_once_and_is_split(backend: ModuleType, tmp_path: Path) -> None:
    model, session = instance(backend, tmp_path, batches=True)
    answers = model.execute([Request(1), Request(3, 2), Request(0)])
    assert [a.outputs["y"] for a in answers] == [[10], [30, 20], [0]]
    assert session.batches == [4]


def test_when_a_joint_batch_fails_only_the_bad_request_does(backend: ModuleType, tmp_path: Path) -> None:
    model, session = instance(backend, tmp_path, batches=True)
    answers = model.execute([Request(1), Request(99), Request(2)])
    assert [a.outputs.get("y") for a in answers] == [[10], None, [20]]
    assert "out of data bounds" in answers[1].error
    assert session.batches == [3, 1, 1, 1]


def test_rows_run_one_by_one_on_cpus(backend: ModuleType, tmp_path: Path) -> None:
    model, session = instance(backend, tmp_path, batches=False)
    answers = model.execute([Request(1, 2), Request(3)])
    assert [a.outputs["y"] for a in answers] == [[10, 20], [30]]
    assert session.batches == [1, 1, 1]


def test_copies_of_one_request_run_once(backend: ModuleType, tmp_path: Path) -> None:
    model, session = instance(backend, tmp_path, batches=False)
    answers = model.execute([Request(1), Request(1), Request(2), Request(1)])
    assert [a.outputs["y"] for a in answers] == [[10], [10], [20], [10]]
    assert session.batches == [1, 1, 1]


def test_copies_of_a_bad_request_all_fail(backend: ModuleType, tmp_path: Path) -> None:
    model, _ = instance(backend, tmp_path, batches=False)
    assert all(answer.error for answer in model.execute([Request(99), Request(99)]))


def test_only_outputs_that_were_asked_for_are_sent(backend: ModuleType, tmp_path: Path) -> None:
    model, _ = instance(backend, tmp_path, batches=False)
    (answer,) = model.execute([Request(1, outputs=())])
    assert answer.outputs == {}


def test_a_configuration_that_the_graph_contradicts_is_told_at_loading(
    backend: ModuleType, tmp_path: Path
) -> None:
    with pytest.raises(RuntimeError, match=r"output posteriors, but model.onnx has y"):
        instance(backend, tmp_path, batches=False, output=[{"name": "posteriors"}])


def test_session_options_are_those_of_the_configuration(backend: ModuleType) -> None:
    given = {
        "intra_op_thread_count": "3",
        "inter_op_thread_count": "2",
        "execution_mode": "1",
        "enable_mem_arena": "false",
        "enable_mem_pattern": "0",
    }
    options = backend.session_options(
        {
            "parameters": {name: {"string_value": value} for name, value in given.items()},
            "optimization": {"graph": {"level": -1}},
        }
    )
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 2)
    assert options.execution_mode == ort.ExecutionMode.ORT_PARALLEL
    assert (options.enable_cpu_mem_arena, options.enable_mem_pattern) == (False, False)
    assert options.graph_optimization_level == ort.GraphOptimizationLevel.ORT_ENABLE_BASIC


def test_session_options_default_to_onnxruntimes_own(backend: ModuleType) -> None:
    options, untouched = backend.session_options({}), ort.SessionOptions()
    for name in (
        "intra_op_num_threads",
        "execution_mode",
        "enable_cpu_mem_arena",
        "graph_optimization_level",
    ):
        assert getattr(options, name) == getattr(untouched, name)


@pytest.mark.parametrize(
    ("kind", "available", "expected"),
    [
        ("CPU", ["CUDAExecutionProvider", "CPUExecutionProvider"], ["CPUExecutionProvider"]),
        ("GPU", ["CPUExecutionProvider"], ["CPUExecutionProvider"]),
        (
            "GPU",
            ["CUDAExecutionProvider", "CPUExecutionProvider"],
            [("CUDAExecutionProvider", {"device_id": 1}), "CPUExecutionProvider"],
        ),
    ],
)
def test_an_instance_uses_its_gpu_where_onnxruntime_can(
    backend: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    available: list[str],
    expected: list[Any],
) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: available)
    assert backend.providers(kind, 1) == expected
