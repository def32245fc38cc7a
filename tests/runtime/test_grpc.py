"""The gRPC server around a recogniser made for the test."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from services.errors import CopyistError, ModelUnavailableError, OverloadedError, TooLargeError
from services.runtime import grpc as runtime_grpc
from services.runtime.door import principal
from services.runtime.door.gate import Gate
from services.runtime.grpc import GrpcServer
from services.runtime.inference import Recognised
from services.runtime.settings import Settings
from tests.waiting import PATIENCE_S

EVERYBODY = Gate(Settings(), principal.Scope.AMT)
LIMIT = 1000


class Echo:
    """Gives the file back, or whatever error it was told to raise."""

    name = "echo"
    options: tuple[str, ...] = ("colour",)
    outputs: tuple[str, ...] = ("copy", "options")
    default_outputs: tuple[str, ...] = ("copy",)
    max_files = 2

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.away = False
        self.ended = asyncio.Event()
        self.begun = asyncio.Event()
        self.hang = False

    async def versions(self) -> tuple[str, ...]:
        if self.away:
            raise ModelUnavailableError("away")
        return ("3", "4")

    async def recognise(
        self,
        files: Sequence[bytes],
        options: Mapping[str, str],
        outputs: tuple[str, ...],
        request_id: str,
        version: str,
    ) -> Recognised:
        self.begun.set()
        try:
            if self.hang:
                await asyncio.sleep(600)
        finally:
            self.ended.set()
        if self.failure:
            raise self.failure
        outputs_ = {"copy": b"|".join(files), "options": repr(dict(options)).encode()}
        return Recognised(outputs_, version or "4")


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def address(echo: Echo, unused_tcp_port: int) -> AsyncIterator[str]:
    address = f"127.0.0.1:{unused_tcp_port}"
    server = GrpcServer(echo, address, gate=EVERYBODY, max_upload_bytes=LIMIT, shares_port=False)
    await server.start()
    yield address
    await server.stop(0)


def _files(*contents: bytes, raw: bool = False) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="echo")
    tensor = request.inputs.add(name="file", datatype="BYTES", shape=[len(contents)])
    if raw:
        framed = (len(content).to_bytes(4, "little") + content for content in contents)
        request.raw_input_contents.append(b"".join(framed))
    else:
        tensor.contents.bytes_contents.extend(contents)
    return request


def _request(content: bytes = b"abc", **members: Any) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="echo", **members)
    request.inputs.add(name="file", datatype="BYTES", shape=[1]).contents.bytes_contents.append(content)
    return request


async def _fails(address: str, request: pb.ModelInferRequest) -> grpc.aio.AioRpcError:
    async with grpc.aio.insecure_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await GRPCInferenceServiceStub(channel).ModelInfer(request)
    return caught.value


async def test_a_file_goes_in_and_outputs_come_back(address: str) -> None:
    request = _request(id="mine", parameters={"colour": pb.InferParameter(string_param="red")})
    request.outputs.add(name="options")
    request.outputs.add(name="copy")
    async with grpc.aio.insecure_channel(address) as channel:
        answer = await GRPCInferenceServiceStub(channel).ModelInfer(request)
    assert (answer.model_name, answer.model_version, answer.id) == ("echo", "4", "mine")
    assert [output.name for output in answer.outputs] == ["options", "copy"]
    assert [raw[4:] for raw in answer.raw_output_contents] == [b"{'colour': 'red'}", b"abc"]


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (OverloadedError("full", remedy="wait", retry_after_s=3), "RESOURCE_EXHAUSTED"),
        (ModelUnavailableError("away", remedy="wait", retry_after_s=3), "UNAVAILABLE"),
        (TooLargeError("too long", remedy="cut it"), "INVALID_ARGUMENT"),
        (CopyistError("broken", remedy="tell us"), "INTERNAL"),
    ],
)
async def test_errors_are_told(address: str, echo: Echo, failure: CopyistError, status: str) -> None:
    echo.failure = failure
    error = await _fails(address, _request(id="mine"))
    assert error.code().name == status
    assert error.details() == f"{failure.detail} {failure.remedy}"
    metadata = dict(error.trailing_metadata() or ())
    assert metadata["copyist-problem"] == failure.slug
    assert metadata["x-request-id"] == "mine"
    assert metadata.get("retry-after") == ("3" if hasattr(failure, "retry_after_s") else None)


async def test_a_fault_tells_nothing_of_its_inside(address: str, echo: Echo) -> None:
    echo.failure = ZeroDivisionError("secret")
    error = await _fails(address, _request())
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in (error.details() or "")


@pytest.mark.parametrize("raw", [False, True])
async def test_several_files_come_as_elements_of_one_tensor(address: str, raw: bool) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        answer = await GRPCInferenceServiceStub(channel).ModelInfer(_files(b"one", b"two", raw=raw))
    assert answer.raw_output_contents[0][4:] == b"one|two"


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (_request(bytes(LIMIT + 1)), "limit of 1000 bytes"),
        (_files(bytes(LIMIT), b"1"), "limit of 1000 bytes"),
        (_files(b"1", b"2", b"3"), "has 3 elements; the limit is 2"),
        (_request(outputs=[{"name": "nothing"}]), "The outputs are: copy, options"),
        (pb.ModelInferRequest(model_name="echo"), "no input 'file'"),
        (pb.ModelInferRequest(model_name="other"), "Call the model 'echo'"),
    ],
)
async def test_bad_requests_say_what_to_do(address: str, request_: Any, words: str) -> None:
    assert words in str((await _fails(address, request_)).details())


async def test_a_caller_that_leaves_ends_the_work(address: str, echo: Echo) -> None:
    echo.hang = True
    async with grpc.aio.insecure_channel(address) as channel:
        call = GRPCInferenceServiceStub(channel).ModelInfer(_request())
        sending = asyncio.ensure_future(call.wait_for_connection())
        await asyncio.wait_for(echo.begun.wait(), 60)
        call.cancel()
        await asyncio.wait_for(echo.ended.wait(), 60)
        await asyncio.gather(sending, return_exceptions=True)


async def test_health_follows_the_model(
    echo: Echo, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_grpc, "_HEALTH_CHECK_S", 0.01)
    address = f"127.0.0.1:{unused_tcp_port}"
    server = GrpcServer(echo, address, gate=EVERYBODY, max_upload_bytes=LIMIT, shares_port=False)
    await server.start()
    async with grpc.aio.insecure_channel(address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="echo"))
        seen = []
        async for answer in watch:
            seen.append(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
            if seen[-1] == "SERVING" and len(seen) < 3:
                echo.away = True
            elif seen[-1] == "NOT_SERVING":
                echo.away = False
            if seen[-3:] == ["SERVING", "NOT_SERVING", "SERVING"]:
                break
        watch.cancel()
    await server.stop(0)


async def test_a_taken_port_is_named(address: str, echo: Echo) -> None:
    second = GrpcServer(echo, address, gate=EVERYBODY, max_upload_bytes=LIMIT, shares_port=False)
    with pytest.raises(OSError, match=f"port {address} cannot be opened"):
        await second.start()
    await second.stop(0)


@pytest.fixture
def often_pinged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let callers ping twice a second, not every ten seconds at most."""
    monkeypatch.setattr(runtime_grpc, "_LEAST_BETWEEN_PINGS_MS", 500)


@pytest.fixture
def impatient(often_pinged: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a second pass for what takes ten or more."""
    monkeypatch.setattr(runtime_grpc, "_PING_AFTER_MS", 1000)
    monkeypatch.setattr(runtime_grpc, "_PING_ANSWER_MS", 1000)


async def test_a_caller_may_ping_to_keep_its_connection_through_routers(
    often_pinged: None, address: str
) -> None:
    """A server of gRPC's defaults ends the connection at the third ping."""
    options = {
        "grpc.keepalive_time_ms": 1000,
        "grpc.keepalive_permit_without_calls": 1,
        "grpc.http2.max_pings_without_data": 0,
    }
    async with grpc.aio.insecure_channel(address, options=tuple(options.items())) as channel:
        await channel.channel_ready()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(channel.wait_for_state_change(grpc.ChannelConnectivity.READY), 6)


async def test_what_a_caller_asked_for_that_is_gone_without_a_word_is_dropped(
    impatient: None, address: str, echo: Echo
) -> None:
    echo.hang = True
    content = _files(b"a").SerializeToString()
    caller = await asyncio.create_subprocess_exec(sys.executable, "-c", _CALLER, address, content.hex())
    try:
        await asyncio.wait_for(echo.begun.wait(), PATIENCE_S)
        # Its machine answers nothing any more, yet no connection was closed.
        caller.send_signal(signal.SIGSTOP)
        await asyncio.wait_for(echo.ended.wait(), 60)
    finally:
        caller.kill()
        await caller.wait()


_CALLER = """
import sys, grpc
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub
request = pb.ModelInferRequest.FromString(bytes.fromhex(sys.argv[2]))
GRPCInferenceServiceStub(grpc.insecure_channel(sys.argv[1])).ModelInfer(request)
"""
