"""Calls to a name of many servers: they take turns, and those that come, go, or were away are noticed."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import (
    GRPCInferenceServiceServicer,
    add_GRPCInferenceServiceServicer_to_server,
)

from services.runtime import triton
from services.runtime.triton import TritonClient
from tests.waiting import tried_enough

#: As the chart tells Triton to do, but sooner.
CONNECTION_AGE_MS = 800


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    # A server that answers may be held up.
    monkeypatch.setattr(triton, "PROBE_LIMIT_S", 30.0)


class NameServer(asyncio.DatagramProtocol):
    """Answers every question for an IPv4 address with `addresses`, or that there is no such name."""

    def __init__(self) -> None:
        self.addresses: list[str] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        end = data.index(b"\0", 12) + 5
        (kind,) = struct.unpack(">H", data[end - 4 : end - 2])
        answers = self.addresses if kind == 1 else []
        status = 0x8580 if self.addresses else 0x8583  # an answer; no such name
        message = data[:2] + struct.pack(">HHHHH", status, 1, len(answers), 0, 0) + data[12:end]
        for address in answers:
            message += b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 0, 4) + socket.inet_aton(address)
        self.transport.sendto(message, addr)


class Counting(GRPCInferenceServiceServicer):
    """Counts what it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.asked += 1
        return pb.ModelReadyResponse(ready=True)


@pytest.fixture
async def names() -> AsyncIterator[tuple[NameServer, int]]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
    yield server, transport.get_extra_info("sockname")[1]
    transport.close()


@asynccontextmanager
async def serving(
    address: str, port: int = 0, *, age_ms: int = CONNECTION_AGE_MS
) -> AsyncIterator[tuple[Counting, int]]:
    server = grpc.aio.server(options=[("grpc.max_connection_age_ms", age_ms), ("grpc.so_reuseport", 0)])
    counting = Counting()
    add_GRPCInferenceServiceServicer_to_server(counting, server)
    bound = server.add_insecure_port(f"{address}:{port}")
    await server.start()
    yield counting, bound
    await server.stop(None)


@asynccontextmanager
async def client_of(name_port: int, port: int) -> AsyncIterator[TritonClient]:
    client = TritonClient(f"dns://127.0.0.1:{name_port}/triton.test:{port}")
    yield client
    await client.close()


async def asking(client: TritonClient, until: Callable[[], bool], limit_s: float) -> int:
    """Ask without a pause worth mentioning until something is so; how often the answer was no."""
    ends = time.monotonic() + limit_s
    refused = 0
    while not until():
        assert time.monotonic() < ends, "it did not come to be"
        refused += not await client.ready("any")
        await asyncio.sleep(0.01)
    return refused


async def test_servers_of_one_name_take_turns(names: tuple[NameServer, int]) -> None:
    name_server, name_port = names
    lasting_ms = 600_000  # while a connection is renewed, the other server has all the calls
    async with (
        serving("127.0.0.2", age_ms=lasting_ms) as (one, port),
        serving("127.0.0.3", port, age_ms=lasting_ms) as (other, _),
        client_of(name_port, port) as client,
    ):
        name_server.addresses = ["127.0.0.2", "127.0.0.3"]
        await asking(client, lambda: min(one.asked, other.asked) > 0, 60)
        one.asked = other.asked = 0
        for _ in range(40):
            assert await client.ready("any")
        assert one.asked + other.asked == 40
        assert abs(one.asked - other.asked) <= 4


async def test_a_server_that_comes_gets_its_share_and_one_that_goes_is_left_without_a_failed_call(
    names: tuple[NameServer, int],
) -> None:
    name_server, name_port = names
    async with (
        serving("127.0.0.2") as (going, port),
        serving("127.0.0.3", port) as (_, _),
        serving("127.0.0.4", port) as (coming, _),
        client_of(name_port, port) as client,
    ):
        name_server.addresses = ["127.0.0.2", "127.0.0.3"]
        await asking(client, lambda: going.asked > 5, 60)
        name_server.addresses = ["127.0.0.3", "127.0.0.4"]
        refused = await asking(client, lambda: coming.asked > 5, 60)
        await asyncio.sleep(2 * CONNECTION_AGE_MS / 1000)
        before = going.asked
        for _ in range(30):
            refused += not await client.ready("any")
        assert going.asked == before
        assert refused == 0


async def test_servers_are_found_soon_after_there_were_none(names: tuple[NameServer, int]) -> None:
    # The quickest of three tells; a machine that is held up for a moment delays one.
    taken_s: list[float] = []
    while not tried_enough(taken_s, 3):
        taken_s.append(await _found_after_s(*names))
    assert min(taken_s) < 3


async def _found_after_s(name_server: NameServer, name_port: int) -> float:
    """Let a name have no servers for a while; how long a client takes to find the one that then comes."""
    name_server.addresses = []
    async with serving("127.0.0.2") as (server, port), client_of(name_port, port) as client:
        # Long enough for gRPC itself to leave 4 s and more between two questions.
        ends = time.monotonic() + 6
        while time.monotonic() < ends:
            assert not await client.ready("any")
            await asyncio.sleep(0.1)
        name_server.addresses = ["127.0.0.2"]
        began = time.monotonic()
        await asking(client, lambda: server.asked > 0, 60)
        return time.monotonic() - began
