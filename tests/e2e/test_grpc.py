"""Plain `tritonclient.grpc` against the audio service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from services.local.stack import LocalStack
from tests.recordings import silent_flac, tones, with_soundfile

pytestmark = pytest.mark.stack

RECORDING = with_soundfile(tones(3, 44_100), 44_100, "MP3")


@pytest.fixture(scope="module")
def client(stack: LocalStack) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(stack.grpc_url) as made:
        yield made


def _file(content: bytes) -> triton.InferInput:
    tensor = triton.InferInput("file", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([content], object))
    return tensor


def _option(name: str, value: np.ndarray, datatype: str) -> triton.InferInput:
    tensor = triton.InferInput(name, [1], datatype)
    tensor.set_data_from_numpy(value)
    return tensor


def _call(
    client: triton.InferenceServerClient, content: bytes, *outputs: str, **more: Any
) -> dict[str, bytes]:
    wanted = [triton.InferRequestedOutput(name) for name in outputs]
    inputs = [_file(content), *more.pop("inputs", [])]
    result = client.infer("amt", inputs, outputs=wanted or None, **more)
    return {output.name: result.as_numpy(output.name)[0] for output in result.get_response().outputs}


def test_midi_musicxml_and_notes_come_back(client: triton.InferenceServerClient, stack: LocalStack) -> None:
    results = _call(client, RECORDING)
    assert list(results) == ["midi", "musicxml", "notes"]
    assert results["midi"].startswith(b"MThd")
    assert b"score-partwise" in results["musicxml"]
    over_http = httpx.post(f"{stack.http_url}/v1/transcribe", files={"file": RECORDING}, timeout=60)
    assert json.loads(results["notes"]) == over_http.json()["notes"]


def test_only_the_outputs_asked_for_come_back(client: triton.InferenceServerClient) -> None:
    results = _call(client, RECORDING, "pdf", "csv", "transcription", request_id="mine")
    assert list(results) == ["pdf", "csv", "transcription"]
    assert results["pdf"].startswith(b"%PDF")
    heard = json.loads(results["transcription"])
    assert heard["id"] == "mine"
    assert heard["model"]["name"] == "piano"
    assert heard["files"] == []


def test_options_may_be_inputs_or_parameters(client: triton.InferenceServerClient) -> None:
    inputs = [
        _option("tempo", np.float32([90]), "FP32"),
        _option("quantise", np.array([b"1/8"], object), "BYTES"),
    ]
    by_inputs = _call(client, RECORDING, "musicxml", inputs=inputs)
    by_parameters = _call(client, RECORDING, "musicxml", parameters={"tempo": 90, "quantise": "1/8"})
    assert by_inputs == by_parameters


@pytest.mark.parametrize(
    ("content", "more", "status", "words"),
    [
        (b"", {}, "INVALID_ARGUMENT", "0 bytes"),
        (b"no music", {}, "INVALID_ARGUMENT", "plain text"),
        (RECORDING[: len(RECORDING) // 2], {}, "INVALID_ARGUMENT", "cut short"),
        (silent_flac(7300), {}, "INVALID_ARGUMENT", "limit of 7200 s"),
        (RECORDING, {"parameters": {"tempo": "fast"}}, "INVALID_ARGUMENT", "Give beats a minute"),
        (RECORDING, {"parameters": {"colour": "red"}}, "INVALID_ARGUMENT", "The options are"),
        (RECORDING, {"parameters": {"formats": "midi"}}, "INVALID_ARGUMENT", "outputs"),
        (RECORDING, {"model_version": "99"}, "NOT_FOUND", "99"),
        (bytes(200 << 20), {}, "RESOURCE_EXHAUSTED", "larger than max"),
    ],
)
def test_errors_are_statuses_that_say_what_to_do(
    client: triton.InferenceServerClient, content: bytes, more: dict[str, Any], status: str, words: str
) -> None:
    with pytest.raises(InferenceServerException) as caught:
        _call(client, content, **more)
    assert caught.value.status() == f"StatusCode.{status}"
    assert words in caught.value.message()


def test_unknown_outputs_and_models_are_named(client: triton.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="The outputs are: midi"):
        _call(client, RECORDING, "mp3")
    with pytest.raises(InferenceServerException, match="Call the model 'amt'"):
        client.infer("omr", [_file(RECORDING)])
    with pytest.raises(InferenceServerException, match="no input 'file'"):
        client.infer("amt", [_option("tempo", np.float32([90]), "FP32")])


def test_errors_carry_the_kind_of_problem_and_the_request_id(stack: LocalStack) -> None:
    with grpc.insecure_channel(stack.grpc_url) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.ModelInfer(service_pb2.ModelInferRequest(model_name="nothing", id="mine"))
    metadata = dict(caught.value.trailing_metadata())
    assert metadata["copyist-problem"] == "not-found"
    assert metadata["x-request-id"] == "mine"


def test_the_protocol_describes_the_model(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("amt")
    assert not client.is_model_ready("omr")
    assert not client.is_model_ready("amt", "99")
    metadata = client.get_model_metadata("amt")
    assert metadata.versions
    assert [tensor.name for tensor in metadata.inputs] == ["file", "instrument", "tempo", "quantise"]
    assert {"midi", "musicxml", "notes"} <= {tensor.name for tensor in metadata.outputs}


def test_health_and_reflection(stack: LocalStack) -> None:
    with grpc.insecure_channel(stack.grpc_url) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", "amt", "inference.GRPCInferenceService"):
            answer = health.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
        ask = reflection_pb2.ServerReflectionRequest(list_services="")
        (answer,) = reflection.ServerReflectionInfo(iter([ask]))
        named = {service.name for service in answer.list_services_response.service}
    assert {"inference.GRPCInferenceService", "grpc.health.v1.Health"} <= named
