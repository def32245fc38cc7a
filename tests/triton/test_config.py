"""Every model's config.pbtxt against its tensor contract, and against what serving relies on."""

from __future__ import annotations

import json

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as mc

from services.amt.contract import PIANO
from services.omr.contract import CONTEXT, SYMBOLS
from services.runtime.contract import ModelContract
from services.triton.environment import REPOSITORY_ROOT

MODELS = REPOSITORY_ROOT / "model_repository"
CONTRACTS = {contract.model: contract for contract in (PIANO, SYMBOLS, CONTEXT)}


def load(model: str) -> mc.ModelConfig:
    return text_format.Parse((MODELS / model / "config.pbtxt").read_text(), mc.ModelConfig())


@pytest.fixture(params=sorted(path.parent.name for path in MODELS.glob("*/config.pbtxt")))
def config(request: pytest.FixtureRequest) -> mc.ModelConfig:
    return load(request.param)


@pytest.fixture
def contract(config: mc.ModelConfig) -> ModelContract:
    return CONTRACTS[config.name]


def test_tensors_are_those_of_the_contract(config: mc.ModelConfig, contract: ModelContract) -> None:
    for configured, specs in ((config.input, contract.inputs), (config.output, contract.outputs)):
        found = [(t.name, mc.DataType.Name(t.data_type), tuple(t.dims)) for t in configured]
        assert found == [(spec.name, f"TYPE_{spec.datatype}", spec.shape) for spec in specs]
    assert config.max_batch_size == contract.max_batch


def test_it_is_served_by_onnxruntime_on_whatever_there_is(config: mc.ModelConfig) -> None:
    assert config.backend == "onnxruntime"
    assert {group.kind for group in config.instance_group} == {mc.ModelInstanceGroup.KIND_AUTO}


def test_a_stable_and_a_canary_version_are_kept(config: mc.ModelConfig) -> None:
    assert config.version_policy.latest.num_versions == 2


def test_the_queue_is_bounded_and_rejects(config: mc.ModelConfig) -> None:
    policy = config.dynamic_batching.default_queue_policy
    assert policy.timeout_action == mc.ModelQueuePolicy.REJECT
    assert 0 < policy.max_queue_size <= 256
    assert 0 < policy.default_timeout_microseconds <= 60_000_000


def test_gpus_run_tensorrt_in_half_precision_with_kept_engines(config: mc.ModelConfig) -> None:
    (accelerator,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert accelerator.name == "tensorrt"
    assert accelerator.parameters["precision_mode"] == "FP16"
    assert accelerator.parameters["trt_engine_cache_enable"] == "1"
    assert accelerator.parameters["trt_engine_cache_path"].startswith("/")


def test_warm_up_covers_the_smallest_and_the_largest_batch(
    config: mc.ModelConfig, contract: ModelContract
) -> None:
    assert {sample.batch_size for sample in config.model_warmup} == {1, contract.max_batch}
    for sample in config.model_warmup:
        found = {name: (mc.DataType.Name(i.data_type), tuple(i.dims)) for name, i in sample.inputs.items()}
        assert found == {spec.name: (f"TYPE_{spec.datatype}", spec.shape) for spec in contract.inputs}


def test_the_card_names_a_version_that_is_there() -> None:
    for card in MODELS.glob("*/card.json"):
        assert json.loads(card.read_text())["name"] == card.parent.name
        assert list(card.parent.glob("*/model.onnx"))
