"""The Triton client against a server of the same protocol that does as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import numpy as np
import pytest
from prometheus_client import REGISTRY
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import (
    GRPCInferenceServiceServicer,
    add_GRPCInferenceServiceServicer_to_server,
)

from services.errors import (
    CopyistError,
    ModelError,
    ModelUnavailableError,
    OverloadedError,
    VersionMissingError,
)
from services.runtime import triton
from services.runtime.contract import ModelContract, TensorSpec
from services.runtime.release.manifest import Role
from services.runtime.triton import TritonClient

#: The answer is the question plus one.
PLUS_ONE = ModelContract(
    "plus-one", (TensorSpec("x", "INT16", (4,)),), (TensorSpec("y", "INT16", (4,)),), max_batch=2
)
X = np.arange(4, dtype=np.int16)[np.newaxis]

UNAVAILABLE, INVALID = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INVALID_ARGUMENT


class Server(GRPCInferenceServiceServicer):
    """Answers PLUS_ONE; tests put failures and pauses in its way."""

    def __init__(self) -> None:
        self.failures: list[tuple[grpc.StatusCode, str]] = []
        self.answer = pb.ModelInferResponse.InferOutputTensor(name="y", datatype="INT16", shape=[1, 4])
        self.pause_s = 0.0
        self.requests: list[Any] = []
        self.under_way = self.most_under_way = 0

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.requests.append(request)
        self.under_way += 1
        self.most_under_way = max(self.under_way, self.most_under_way)
        try:
            await asyncio.sleep(self.pause_s)
        finally:
            self.under_way -= 1
        if self.failures:
            await context.abort(*self.failures.pop(0))
        (content,) = request.raw_input_contents
        result = (np.frombuffer(content, np.int16) + 1).astype(np.int16)
        return pb.ModelInferResponse(outputs=[self.answer], raw_output_contents=[result.tobytes()])

    async def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        await asyncio.sleep(self.pause_s)
        return pb.ModelReadyResponse(ready=request.name == "plus-one")

    async def RepositoryIndex(self, request: Any, context: Any) -> Any:  # noqa: N802
        await asyncio.sleep(self.pause_s)
        assert request.ready
        entries = [("plus-one", "10"), ("other", "3"), ("plus-one", "9")]
        return pb.RepositoryIndexResponse(
            models=[
                pb.RepositoryIndexResponse.ModelIndex(name=n, version=v, state="READY") for n, v in entries
            ]
        )


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton, "RETRY_DELAYS_S", (0.01, 0.01, 0.01))
    # A server that answers may be held up.
    monkeypatch.setattr(triton, "PROBE_LIMIT_S", 30.0)


async def serve(server: Server, address: str = "127.0.0.1:0") -> tuple[grpc.aio.Server, int]:
    running = grpc.aio.server(options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1)])
    add_GRPCInferenceServiceServicer_to_server(server, running)
    port = running.add_insecure_port(address)
    await running.start()
    return running, port


@pytest.fixture
async def served() -> AsyncIterator[tuple[Server, TritonClient]]:
    server = Server()
    running, port = await serve(server)
    client = TritonClient(f"127.0.0.1:{port}", timeout_s=30, max_concurrency=2)
    yield server, client
    await client.close()
    await running.stop(None)


async def test_an_answer_comes_back_as_the_contract_says(served: tuple[Server, TritonClient]) -> None:
    server, client = served
    answer = await client.infer(PLUS_ONE, "7", {"x": X})
    assert answer["y"].dtype == np.int16
    np.testing.assert_array_equal(answer["y"], X + 1)
    (request,) = server.requests
    assert (request.model_name, request.model_version) == ("plus-one", "7")
    assert [o.name for o in request.outputs] == ["y"]


async def test_an_array_that_is_not_contiguous_is_sent_right(served: tuple[Server, TritonClient]) -> None:
    _, client = served
    backwards = X[:, ::-1]
    np.testing.assert_array_equal((await client.infer(PLUS_ONE, None, {"x": backwards}))["y"], backwards + 1)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"z": X}, "takes x, not z"),
        ({"x": X, "z": X}, "takes x, not x, z"),
        ({"x": X.astype(np.float32)}, r"INT16 \[1, 4\] by its contract, not float32 \[1, 4\]"),
        ({"x": X[:, :3]}, r"not int16 \[1, 3\]"),
        ({"x": X[0]}, "1 to 2 items, not 4"),
        ({"x": np.repeat(X, 3, axis=0)}, "1 to 2 items, not 3"),
    ],
)
async def test_inputs_against_the_contract_are_not_sent(
    served: tuple[Server, TritonClient], inputs: dict[str, Any], said: str
) -> None:
    server, client = served
    with pytest.raises(ModelError, match=said):
        await client.infer(PLUS_ONE, None, inputs)
    assert not server.requests


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"name": "z", "datatype": "INT16", "shape": [1, 4]}, "without its output y"),
        ({"name": "y", "datatype": "UINT8", "shape": [1, 8]}, r"not uint8 \[1, 8\]"),
        ({"name": "y", "datatype": "INT16", "shape": [2, 2]}, r"not int16 \[2, 2\]"),
    ],
)
async def test_an_answer_against_the_contract_is_an_error(
    served: tuple[Server, TritonClient], answer: dict[str, Any], said: str
) -> None:
    server, client = served
    server.answer = pb.ModelInferResponse.InferOutputTensor(**answer)
    with pytest.raises(ModelError, match=said):
        await client.infer(PLUS_ONE, None, {"x": X})


@pytest.mark.parametrize(
    ("code", "details", "kind", "attempts"),
    [
        (UNAVAILABLE, "[request id: <id_unknown>] Exceeds maximum queue size", OverloadedError, 4),
        (UNAVAILABLE, "Request timeout expired", OverloadedError, 4),
        (UNAVAILABLE, "Socket closed", ModelUnavailableError, 4),
        (grpc.StatusCode.NOT_FOUND, "Request for unknown model: 'plus-one'", VersionMissingError, 4),
        (UNAVAILABLE, "'plus-one' version 2 is not at ready state", VersionMissingError, 4),
        (INVALID, "unexpected shape for input 'x'", ModelError, 1),
        (grpc.StatusCode.INTERNAL, "onnxruntime: out of memory", ModelError, 1),
    ],
)
async def test_a_failure_says_who_can_mend_it(
    served: tuple[Server, TritonClient],
    code: grpc.StatusCode,
    details: str,
    kind: type[CopyistError],
    attempts: int,
) -> None:
    server, client = served
    server.failures = [(code, details)] * 10
    with pytest.raises(kind) as failure:
        await client.infer(PLUS_ONE, None, {"x": X})
    assert type(failure.value) is kind
    assert len(server.requests) == attempts


async def test_a_passing_failure_is_not_seen(served: tuple[Server, TritonClient]) -> None:
    server, client = served
    server.failures = [(UNAVAILABLE, "Exceeds maximum queue size"), (UNAVAILABLE, "Connection reset by peer")]
    np.testing.assert_array_equal((await client.infer(PLUS_ONE, None, {"x": X}))["y"], X + 1)
    assert len(server.requests) == 3


async def test_no_more_calls_are_under_way_than_allowed(served: tuple[Server, TritonClient]) -> None:
    server, client = served
    server.pause_s = 0.02
    await asyncio.gather(*(client.infer(PLUS_ONE, None, {"x": X}) for _ in range(10)))
    assert server.most_under_way == 2


async def test_time_is_limited_and_the_call_is_taken_back(served: tuple[Server, TritonClient]) -> None:
    server, client = served
    client._timeout_s = 0.2
    server.pause_s = 30
    started = asyncio.get_running_loop().time()
    calls = [client.infer(PLUS_ONE, None, {"x": X}) for _ in range(5)]  # more than have a turn
    for error in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(error, OverloadedError)
        assert "within 0.2 s" in error.detail
    assert asyncio.get_running_loop().time() - started < 15  # half of the server's pause
    await settled(lambda: server.under_way == 0)


async def test_a_cancelled_call_is_taken_back(served: tuple[Server, TritonClient]) -> None:
    server, client = served
    server.pause_s = 600
    call = asyncio.create_task(client.infer(PLUS_ONE, None, {"x": X}))
    await settled(lambda: server.under_way == 1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await settled(lambda: server.under_way == 0)


async def test_large_tensors_pass(served: tuple[Server, TritonClient]) -> None:
    server, client = served
    size = 8 << 20  # 16 MiB, four times gRPC's usual limit
    large = ModelContract(
        "plus-one", (TensorSpec("x", "INT16", (size,)),), (TensorSpec("y", "INT16", (size,)),), max_batch=1
    )
    server.answer = pb.ModelInferResponse.InferOutputTensor(name="y", datatype="INT16", shape=[1, size])
    x = np.zeros((1, size), np.int16)
    assert (await client.infer(large, None, {"x": x}))["y"].sum() == size


async def test_ready_versions_are_sorted_as_numbers(served: tuple[Server, TritonClient]) -> None:
    _, client = served
    assert await client.versions("plus-one") == ("9", "10")
    assert await client.versions("unheard-of") == ()
    assert await client.ready("plus-one")
    assert not await client.ready("unheard-of")


async def test_a_silent_server_is_told_from_a_ready_one_soon(
    served: tuple[Server, TritonClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, client = served
    monkeypatch.setattr(triton, "PROBE_LIMIT_S", 0.1)
    server.pause_s = 30
    with pytest.raises(ModelUnavailableError, match=r"within 0\.1 s"):
        await client.versions("plus-one")
    assert not await client.ready("plus-one")


async def test_a_server_that_is_away_is_found_when_it_is_back() -> None:
    running, port = await serve(Server())
    await running.stop(None)
    client = TritonClient(f"127.0.0.1:{port}", timeout_s=30)
    with pytest.raises(ModelUnavailableError, match=str(port)):
        await client.infer(PLUS_ONE, None, {"x": X})
    with pytest.raises(ModelUnavailableError):
        await client.versions("plus-one")
    assert not await client.ready("plus-one")

    running, _ = await serve(Server(), f"127.0.0.1:{port}")
    await settled(lambda: client.ready("plus-one"))
    np.testing.assert_array_equal((await client.infer(PLUS_ONE, None, {"x": X}))["y"], X + 1)
    await client.close()
    await running.stop(None)


async def settled(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Wait until a condition holds, for a minute at most."""
    for _ in range(3000):
        held = condition()
        if held if isinstance(held, bool) else await held:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("not so after a minute")


def calls(outcome: str) -> float:
    """How many calls have ended so."""
    labels = {"model": PLUS_ONE.model, "version": "", "outcome": outcome}
    return REGISTRY.get_sample_value("copyist_model_calls_total", labels) or 0


def retries(problem: str) -> float:
    """How often a call was tried again for that reason."""
    labels = {"model": PLUS_ONE.model, "problem": problem}
    return REGISTRY.get_sample_value("copyist_model_call_retries_total", labels) or 0


async def test_calls_are_counted_by_how_they_end(served: tuple[Server, TritonClient]) -> None:
    server, client = served
    before = calls("ok"), calls("model-unavailable"), calls("model-error"), retries("model-unavailable")
    server.failures = [(UNAVAILABLE, "gone")]
    await client.infer(PLUS_ONE, None, {"x": X})
    server.failures = [(UNAVAILABLE, "gone")] * 4
    with pytest.raises(ModelUnavailableError):
        await client.infer(PLUS_ONE, None, {"x": X})
    server.answer = pb.ModelInferResponse.InferOutputTensor(name="z", datatype="INT16", shape=[1, 4])
    with pytest.raises(ModelError):
        await client.infer(PLUS_ONE, None, {"x": X})
    after = calls("ok"), calls("model-unavailable"), calls("model-error"), retries("model-unavailable")
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 1, 1, 4]


@pytest.mark.parametrize(
    ("role", "failure", "attempts"),
    [
        (Role.STABLE, (grpc.StatusCode.NOT_FOUND, "version 2 is not found"), 4),
        (Role.CANARY, (grpc.StatusCode.NOT_FOUND, "version 2 is not found"), 1),
        (Role.CANARY, (UNAVAILABLE, "Socket closed"), 4),
        (Role.CANARY, (UNAVAILABLE, "Exceeds maximum queue size"), 4),
        (Role.SHADOW, (UNAVAILABLE, "Socket closed"), 1),
        (Role.SHADOW, (UNAVAILABLE, "Exceeds maximum queue size"), 1),
    ],
)
async def test_a_version_is_waited_for_as_its_role_is_worth(
    served: tuple[Server, TritonClient], role: Role, failure: tuple[grpc.StatusCode, str], attempts: int
) -> None:
    server, client = served
    server.failures = [failure] * 10
    with pytest.raises(CopyistError):
        await client.infer(PLUS_ONE, "2", {"x": X}, role)
    assert len(server.requests) == attempts


async def test_calls_of_versions_in_the_shadow_are_not_counted_among_those_of_requests(
    served: tuple[Server, TritonClient],
) -> None:
    _, client = served
    labels = {"model": PLUS_ONE.model, "outcome": "ok"}

    def counted(version: str) -> float:
        return REGISTRY.get_sample_value("copyist_model_calls_total", {**labels, "version": version}) or 0

    before = counted("3"), counted("4")
    await client.infer(PLUS_ONE, "3", {"x": X}, Role.CANARY)
    await client.infer(PLUS_ONE, "4", {"x": X}, Role.SHADOW)
    assert (counted("3"), counted("4")) == (before[0] + 1, before[1])


async def test_a_version_that_is_missing_is_told_from_a_server_that_is_away(
    served: tuple[Server, TritonClient],
) -> None:
    server, client = served
    labels = {"model": PLUS_ONE.model, "version": "5", "outcome": "version-missing"}
    server.failures = [(grpc.StatusCode.NOT_FOUND, "version 5 is not found")]
    with pytest.raises(VersionMissingError):
        await client.infer(PLUS_ONE, "5", {"x": X}, Role.CANARY)
    assert REGISTRY.get_sample_value("copyist_model_calls_total", labels) == 1
