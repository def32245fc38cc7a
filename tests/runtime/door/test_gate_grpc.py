"""The gate in front of gRPC, around a recogniser made for the test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from services.runtime import logs, metrics
from services.runtime.database import Database
from services.runtime.door import interceptor
from services.runtime.door.gate import Gate
from services.runtime.door.keys import KeyStore, new_key
from services.runtime.door.principal import Scope
from services.runtime.grpc import GrpcServer
from services.runtime.inference import Recognised
from services.runtime.settings import Settings
from tests.runtime.door.issuing import LittleIssuer, rsa_key, served


class Who:
    """Answers who called; holds a call back when its file says so."""

    name = "who"
    options: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ("owner",)
    default_outputs: tuple[str, ...] = ("owner",)
    max_files = 1

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.asked = 0
        self.held = asyncio.Semaphore(0)

    async def versions(self) -> tuple[str, ...]:
        return ("1",)

    async def recognise(
        self,
        files: Sequence[bytes],
        options: Mapping[str, str],
        outputs: tuple[str, ...],
        request_id: str,
        version: str,
    ) -> Recognised:
        self.asked += 1
        if files[0] == b"hold":
            self.held.release()
            await self.go_on.wait()
        return Recognised({"owner": str(logs.bound()["owner"]).encode()}, "1")


@pytest.fixture
def settings(database: Database) -> Settings:
    return Settings(auth=True, database_url=database.url)


@pytest.fixture
def who() -> Who:
    return Who()


class Caller:
    """Calls a server, and tells what came of it."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.stub = GRPCInferenceServiceStub(channel)

    async def owner(self, *metadata: tuple[str, str], content: bytes = b"x") -> str:
        request = pb.ModelInferRequest(model_name="who")
        tensor = request.inputs.add(name="file", datatype="BYTES", shape=[1])
        tensor.contents.bytes_contents.append(content)
        answer = await self.stub.ModelInfer(request, metadata=metadata)
        return bytes(answer.raw_output_contents[0][4:]).decode()

    async def refusal(self, *metadata: tuple[str, str], content: bytes = b"x") -> tuple[str, dict[str, str]]:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.owner(*metadata, content=content)
        return caught.value.code().name, dict(caught.value.trailing_metadata() or ())


@asynccontextmanager
async def calling(who: Who, settings: Settings, port: int) -> AsyncIterator[Caller]:
    gate = Gate(settings, Scope.AMT)
    await gate.open()
    address = f"127.0.0.1:{port}"
    server = GrpcServer(who, address, gate=gate, max_upload_bytes=1 << 20, shares_port=False)
    await server.start()
    options = [("grpc.max_metadata_size", 1 << 20)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        yield Caller(channel)
    await server.stop(0)
    await gate.close()


async def test_keys_and_tokens_let_their_owners_in(
    who: Who, settings: Settings, store: KeyStore, unused_tcp_port_factory: Any
) -> None:
    issuing = LittleIssuer(unused_tcp_port_factory(), {"one": rsa_key()})
    settings = replace(settings, oidc_issuer=issuing.url)
    key, _ = store.create("team-a", [Scope.AMT])
    async with (
        served(issuing.app(), issuing.port),
        calling(who, settings, unused_tcp_port_factory()) as caller,
    ):
        assert await caller.owner(("authorization", f"Bearer {key}")) == "team-a"
        assert await caller.owner(("x-api-key", key)) == "team-a"
        assert await caller.owner(("authorization", f"Bearer {issuing.token('one')}")) == "team-a"
        assert await caller.owner(("authorization", f"Bearer {issuing.token('one', sub='anna')}")) == "anna"


async def test_who_may_not_is_told_so(
    who: Who, settings: Settings, store: KeyStore, unused_tcp_port: int
) -> None:
    other, _ = store.create("team-a", [Scope.OMR])
    async with calling(who, settings, unused_tcp_port) as caller:
        for metadata in (
            (),
            (("authorization", "Basic x"),),
            (("x-api-key", new_key("nokeyhas")),),
            (("authorization", "Bearer a.b.c"),),
            (("authorization-bin", b"Bearer x"),),
        ):
            code, told = await caller.refusal(*metadata)
            assert code == "UNAUTHENTICATED", metadata
            assert told["copyist-problem"] == "unauthenticated"
            assert len(told["x-request-id"]) == 32
        code, told = await caller.refusal(("x-api-key", other))
        assert (code, told["copyist-problem"]) == ("PERMISSION_DENIED", "forbidden")
        for call in (
            caller.stub.ModelMetadata(pb.ModelMetadataRequest(name="who")),
            caller.stub.ModelReady(pb.ModelReadyRequest(name="who")),
            caller.stub.RepositoryIndex(pb.RepositoryIndexRequest()),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        stream = caller.stub.ModelStreamInfer()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stream.read()
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert who.asked == 0
    assert 'route="ModelInfer",service="who",status="UNAUTHENTICATED"' in metrics.exposition().decode()


async def test_health_and_reflection_are_open(who: Who, settings: Settings, unused_tcp_port: int) -> None:
    async with calling(who, settings, unused_tcp_port) as caller:
        health = health_pb2_grpc.HealthStub(caller.channel)
        assert (await health.Check(health_pb2.HealthCheckRequest())).status == 1
        assert (await caller.stub.ServerLive(pb.ServerLiveRequest())).live
        assert (await caller.stub.ServerReady(pb.ServerReadyRequest())).ready
        reflection = reflection_pb2_grpc.ServerReflectionStub(caller.channel)
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        answers = reflection.ServerReflectionInfo(iter([asked]))
        async for answer in answers:
            names = [service.name for service in answer.list_services_response.service]
            assert "inference.GRPCInferenceService" in names


async def test_what_is_not_served_is_said_to_those_who_may_call(
    who: Who, settings: Settings, store: KeyStore, unused_tcp_port: int
) -> None:
    key, _ = store.create("team-a", list(Scope))
    async with calling(who, settings, unused_tcp_port) as caller:
        metadata = (("x-api-key", key),)
        assert (await caller.stub.ModelReady(pb.ModelReadyRequest(name="who"), metadata=metadata)).ready
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await caller.stub.RepositoryIndex(pb.RepositoryIndexRequest(), metadata=metadata)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_calls_too_often_are_told_when_to_come_again(
    who: Who, settings: Settings, store: KeyStore, unused_tcp_port: int
) -> None:
    key, _ = store.create("team-a", list(Scope))
    async with calling(who, replace(settings, requests_per_minute=2), unused_tcp_port) as caller:
        began = time.monotonic()
        for _ in range(2):
            assert await caller.owner(("x-api-key", key)) == "team-a"
        code, told = await caller.refusal(("x-api-key", key))
        assert (code, told["copyist-problem"]) == ("RESOURCE_EXHAUSTED", "rate-limited")
        # One call every 30 s, of which some have passed since the first.
        assert 30 - (time.monotonic() - began) <= int(told["retry-after"]) <= 30


async def test_an_owner_and_a_process_have_only_so_many_at_once(
    who: Who, settings: Settings, store: KeyStore, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interceptor, "MOST_AT_ONCE", 2)
    keys = [store.create(owner, list(Scope))[0] for owner in ("a", "b", "c")]
    async with calling(who, replace(settings, max_requests_per_owner=1), unused_tcp_port) as caller:
        held = [asyncio.create_task(caller.owner(("x-api-key", key), content=b"hold")) for key in keys[:2]]
        await who.held.acquire()
        await who.held.acquire()
        code, told = await caller.refusal(("x-api-key", keys[0]))
        assert (code, told["copyist-problem"]) == ("RESOURCE_EXHAUSTED", "overloaded")
        code, told = await caller.refusal(("x-api-key", keys[2]))
        assert (code, told["copyist-problem"]) == ("RESOURCE_EXHAUSTED", "overloaded")
        assert int(told["retry-after"]) >= 1
        who.go_on.set()
        assert await asyncio.gather(*held) == ["a", "b"]
        assert await caller.owner(("x-api-key", keys[2])) == "c"


async def test_a_caller_that_leaves_gives_its_place_back(
    who: Who, settings: Settings, store: KeyStore, unused_tcp_port: int
) -> None:
    key, _ = store.create("team-a", list(Scope))
    async with calling(who, replace(settings, max_requests_per_owner=1), unused_tcp_port) as caller:
        held = asyncio.create_task(caller.owner(("x-api-key", key), content=b"hold"))
        await who.held.acquire()
        held.cancel()
        await asyncio.gather(held, return_exceptions=True)
        async with asyncio.timeout(60):
            while True:
                try:
                    assert await caller.owner(("x-api-key", key)) == "team-a"
                    break
                except grpc.aio.AioRpcError:
                    await asyncio.sleep(0.01)


async def test_messages_and_metadata_are_bounded(
    who: Who, settings: Settings, store: KeyStore, unused_tcp_port: int
) -> None:
    key, _ = store.create("team-a", list(Scope))
    async with calling(who, settings, unused_tcp_port) as caller:
        code, _ = await caller.refusal(("x-api-key", key), content=bytes(1 << 21))
        assert code == "RESOURCE_EXHAUSTED"
        code, _ = await caller.refusal(("x-api-key", key), content=bytes((1 << 20) + 1))
        assert code == "INVALID_ARGUMENT"
        code, _ = await caller.refusal(("x-api-key", key), ("x-odd", "y" * (1 << 16)))
        assert code == "RESOURCE_EXHAUSTED"
        assert await caller.owner(("x-api-key", key)) == "team-a"
    assert who.asked == 1


async def test_a_message_that_does_not_come_is_not_waited_for_without_end(
    who: Who, settings: Settings, store: KeyStore, unused_tcp_port: int
) -> None:
    key, _ = store.create("team-a", list(Scope))
    method = "/inference.GRPCInferenceService/ModelInfer"
    async with calling(who, replace(settings, request_timeout_s=1), unused_tcp_port) as caller:
        call = caller.channel.stream_unary(method)(metadata=(("x-api-key", key),))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async with asyncio.timeout(60):
                await call
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "COPYIST_REQUEST_TIMEOUT_S" in str(caught.value.details())
    async with calling(who, settings, unused_tcp_port) as caller:
        silent = caller.channel.stream_unary(method)(metadata=(("x-api-key", key),))
        await silent.done_writing()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await silent
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_with_the_door_off_everybody_is_local(who: Who, unused_tcp_port: int) -> None:
    settings = Settings(requests_per_minute=1, max_requests_per_owner=1)
    async with calling(who, settings, unused_tcp_port) as caller:
        for metadata in ((), (("x-api-key", "odd"),), (("authorization", "odd"),)):
            assert await caller.owner(*metadata) == "local"
