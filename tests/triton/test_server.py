"""The real tritonserver with Copyist's onnxruntime backend."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import REGISTRY
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from services.errors import ModelError, ModelUnavailableError, OverloadedError
from services.local.options import private
from services.local.stack import LocalStack
from services.runtime import triton
from services.runtime.triton import ModelTimes, TritonClient
from services.triton.environment import REPOSITORY_ROOT
from tests.paused import paused
from tests.triton.models import LOOKUP, SLOW, add, add_version, lookup_model

pytestmark = pytest.mark.stack


@pytest.fixture
async def client(served: LocalStack, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TritonClient]:
    monkeypatch.setattr(triton, "PROBE_LIMIT_S", 30.0)  # however long it is held up
    client = TritonClient(served.triton_url)
    yield client
    await client.close()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let clients wait for a restart however busy the machine is."""
    monkeypatch.setattr(triton, "RETRY_DELAYS_S", (0.5,) * 100)


async def look_up(client: TritonClient, *xs: int, version: str | None = None) -> list[int]:
    answer = await client.infer(LOOKUP, version, {"x": column(*xs)})
    return answer["y"].ravel().tolist()


def column(*xs: int) -> NDArray[np.int32]:
    return np.array(xs, np.int32)[:, None]


async def requests(client: TritonClient) -> int:
    return (await client.times("slow")).requests


async def until(ask: Callable[[], Awaitable[object]], expected: object) -> None:
    """Ask again and again, for two minutes, until the answer is the expected one."""
    for _ in range(2400):
        if (found := await ask()) == expected:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"still {found}, not {expected}")


async def settled_times(client: TritonClient) -> ModelTimes:
    """What the model has cost, once Triton has counted all that it answered before."""
    times = await client.times("slow")
    while True:
        await asyncio.sleep(1)
        if (later := await client.times("slow")) == times:
            return times
        times = later


def change(stack: LocalStack, action: str, model: str) -> httpx.Response:
    http = f"http://127.0.0.1:{stack.options.triton_http_port}"
    return httpx.post(f"{http}/v2/repository/models/{model}/{action}", json={}, timeout=180)


async def test_answers_for_every_row_of_a_batch(client: TritonClient) -> None:
    assert await look_up(client, 3, 0, 2, 2, 1) == [30, 0, 20, 20, 10]


async def test_many_requests_at_once_each_get_their_own_answer(client: TritonClient) -> None:
    asked = np.random.default_rng(1).integers(0, 4, (100, 3)).tolist()
    answers = await asyncio.gather(*(look_up(client, *xs) for xs in asked))
    assert answers == [[10 * x for x in xs] for xs in asked]


async def test_a_bad_value_fails_its_own_request_alone(client: TritonClient) -> None:
    requests = [look_up(client, x) for x in (0, 1, 99, 2, 3, 1, -99, 2)]
    answers = await asyncio.gather(*requests, return_exceptions=True)
    assert [a for a in answers if isinstance(a, list)] == [[0], [10], [20], [30], [10], [20]]
    errors = [a for a in answers if not isinstance(a, list)]
    assert len(errors) == 2
    for error in errors:
        assert isinstance(error, ModelError)
        assert "indices element out of data bounds" in error.detail
    assert await look_up(client, 1) == [10]


@pytest.mark.parametrize(
    ("datatype", "shape", "content"),
    [
        ("FP32", [1, 1], b"\0\0\0\0"),
        ("INT32", [1, 2], b"\0" * 8),
        ("INT32", [9, 1], b"\0" * 36),
        ("INT32", [1, 1], b"\0"),
        ("INT32", [2, 1], b"\0" * 4),
    ],
    ids=["type", "shape", "batch", "too few bytes", "half a batch"],
)
async def test_a_bad_tensor_is_refused_and_the_server_lives(
    served: LocalStack, client: TritonClient, datatype: str, shape: list[int], content: bytes
) -> None:
    tensor = pb.ModelInferRequest.InferInputTensor(name="x", datatype=datatype, shape=shape)
    request = pb.ModelInferRequest(model_name="lookup", inputs=[tensor], raw_input_contents=[content])
    async with grpc.aio.insecure_channel(served.triton_url) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=60)
    assert failure.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert await look_up(client, 1) == [10]


async def test_version_2_comes_and_goes_beside_version_1_without_a_failed_request(
    served: LocalStack, client: TritonClient
) -> None:
    models = served.options.served_models
    # What is served names one version; what is shipped leaves two of them to Triton.
    shutil.copyfile(served.options.model_repository / "lookup/config.pbtxt", models / "lookup/config.pbtxt")
    stop = asyncio.Event()

    async def traffic() -> int:
        answered = 0
        while not stop.is_set():
            assert await look_up(client, 1, version="1") == [10]
            answered += 1
        return answered

    clients = [asyncio.create_task(traffic()) for _ in range(4)]
    add_version(models, "lookup", 2, lookup_model(100))
    assert (await asyncio.to_thread(change, served, "load", "lookup")).is_success
    assert await client.versions("lookup") == ("1", "2")
    assert await look_up(client, 2, version="2") == [200]
    assert await look_up(client, 2) == [200]  # unasked, the newest answers

    for file in (models / "lookup" / "2" / "model.onnx", models / "lookup" / "2"):
        file.unlink() if file.is_file() else file.rmdir()
    assert (await asyncio.to_thread(change, served, "load", "lookup")).is_success
    stop.set()
    assert sum(await asyncio.gather(*clients)) > 10
    assert await client.versions("lookup") == ("1",)
    with pytest.raises(ModelUnavailableError, match="version 2"):
        await look_up(client, 2, version="2")


async def test_an_unloaded_model_is_unavailable_until_it_is_loaded(
    served: LocalStack, client: TritonClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triton, "RETRY_DELAYS_S", ())
    assert change(served, "unload", "lookup").is_success
    await until(lambda: client.ready("lookup"), False)
    with pytest.raises(ModelUnavailableError):
        await look_up(client, 1)
    assert change(served, "load", "lookup").is_success
    assert await look_up(client, 1) == [10]


async def test_a_full_queue_rejects_at_once(client: TritonClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton, "RETRY_DELAYS_S", ())
    requests = [client.infer(SLOW, None, {"x": column(1)}) for _ in range(12)]
    answers = await asyncio.gather(*requests, return_exceptions=True)
    rejected = [a for a in answers if isinstance(a, OverloadedError)]
    answered = [a for a in answers if isinstance(a, dict)]
    assert len(rejected) + len(answered) == 12
    assert answered
    assert rejected
    assert "queue is full" in rejected[0].detail


async def test_a_full_queue_is_waited_out_within_the_limit(client: TritonClient, patient: None) -> None:
    answers = await asyncio.gather(*(client.infer(SLOW, None, {"x": column(1)}) for _ in range(6)))
    assert all(answer["y"].item() == 0 for answer in answers)


async def test_the_time_inside_the_model_can_be_read(client: TritonClient) -> None:
    before = await settled_times(client)
    started = time.perf_counter()
    await client.infer(SLOW, None, {"x": column(1)})
    wall_s = time.perf_counter() - started
    # Triton counts a request just after it has answered it.
    await until(lambda: requests(client), before.requests + 1)
    after = await client.times("slow")
    assert 0 < after.compute_s - before.compute_s < wall_s


async def test_a_killed_triton_is_back_and_no_call_is_lost(
    served: LocalStack, client: TritonClient, patient: None
) -> None:
    state = served.state()
    assert state is not None
    assert state.programs["triton"].process is not None
    calls = [asyncio.create_task(client.infer(SLOW, None, {"x": column(1)})) for _ in range(3)]
    await asyncio.sleep(0.1)
    os.kill(state.programs["triton"].process.pid, signal.SIGKILL)
    answers = await asyncio.wait_for(asyncio.gather(*calls), 180)
    assert [answer["y"].item() for answer in answers] == [0, 0, 0]
    assert await look_up(client, 3) == [30]
    state = served.state()
    assert state is not None
    assert state.programs["triton"].starts == 2
    assert state.programs["triton"].last_exit == "signal 9 (Killed)"


async def test_calls_to_a_triton_that_hangs_are_answered_by_another_long_before_their_time_is_over(
    served: LocalStack, tmp_path: Path
) -> None:
    other = replace(private(tmp_path), model_repository=served.options.model_repository, programs=("triton",))
    with LocalStack(other) as second:
        client = TritonClient(f"ipv4:{served.triton_url},{second.triton_url}", timeout_s=120)
        assert await asyncio.gather(*(look_up(client, 1) for _ in range(8))) == [[10]] * 8
        before = tried_again()
        try:
            with paused(second, "triton"):
                began = time.monotonic()
                calls = asyncio.gather(*(look_up(client, 2) for _ in range(8)))
                assert [await client.versions("lookup") for _ in range(2)] == [("1",)] * 2
                assert await calls == [[20]] * 8
                assert time.monotonic() - began < 60
                met = tried_again() - before
                assert met > 0, "none met the one that hangs"
                assert await asyncio.gather(*(look_up(client, 3) for _ in range(8))) == [[30]] * 8
                assert tried_again() - before == met, "the one that hangs is still asked"
        finally:
            await client.close()


def tried_again() -> float:
    """How many calls of the model have been tried again because their server was not available."""
    labels = {"model": LOOKUP.model, "problem": ModelUnavailableError.slug}
    return REGISTRY.get_sample_value("copyist_model_call_retries_total", labels) or 0


async def test_triton_bears_with_a_client_that_pings_often(served: LocalStack) -> None:
    """By default a server ends the connection after the third ping that comes too early."""
    often = {"grpc.keepalive_time_ms": 1000, "grpc.http2.max_pings_without_data": 0}
    options = tuple((often | {"grpc.keepalive_permit_without_calls": 1}).items())
    async with grpc.aio.insecure_channel(served.triton_url, options=options) as channel:
        await channel.channel_ready()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(channel.wait_for_state_change(grpc.ChannelConnectivity.READY), 6)


async def test_a_model_that_cannot_be_loaded_leaves_the_others_served(
    served: LocalStack, client: TritonClient
) -> None:
    models = served.options.served_models
    add(models, replace(LOOKUP, model="broken"), lookup_model(1))
    (models / "broken" / "1" / "model.onnx").write_bytes(b"not a model")
    answer = change(served, "load", "broken")
    assert answer.status_code == 400
    assert "INVALID_PROTOBUF" in answer.text
    assert await look_up(client, 2) == [20]


async def test_the_charts_probe_asks_for_models_and_not_for_every_version(
    served: LocalStack, client: TritonClient
) -> None:
    """Under strict readiness one version that cannot be loaded would make the server unready for good."""
    port = str(served.options.triton_http_port)
    script = REPOSITORY_ROOT / "charts" / "copyist" / "files" / "models-ready.sh"

    def probe(*models: str) -> tuple[int, str]:
        variables = {**os.environ, "MODELS": " ".join(models), "PORT": port}
        command = ["bash", "-c", script.read_text()]
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    models = served.options.served_models
    (models / "lookup" / "7").mkdir()
    (models / "lookup" / "7" / "model.onnx").write_bytes(b"no model")
    shutil.copyfile(served.options.model_repository / "lookup/config.pbtxt", models / "lookup/config.pbtxt")
    assert change(served, "load", "lookup").status_code == 400
    assert await look_up(client, 1, version="1") == [10]
    await until(lambda: asyncio.to_thread(probe, "lookup", "slow"), (0, ""))
    assert await asyncio.to_thread(probe, "lookup", "absent") == (1, "no version of absent is ready\n")
