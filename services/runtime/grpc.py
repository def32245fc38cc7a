"""The gRPC server of a process: inference, health and reflection on one port."""

from __future__ import annotations

import asyncio
from typing import Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import add_GRPCInferenceServiceServicer_to_server

from services.errors import CopyistError
from services.runtime.door.gate import Gate
from services.runtime.door.interceptor import GateInterceptor
from services.runtime.inference import InferenceService, Recogniser

#: Room for a request's other tensors beside the file.
_MESSAGE_BYTES: Final = 1 << 16
#: Of a call's headers together; the longest token takes half of it.
_METADATA_BYTES: Final = 1 << 14
#: Open calls, those that only watch the health too; more are refused at once.
_MOST_CALLS: Final = 1000
_MOST_CALLS_OF_A_CONNECTION: Final = 100
#: Callers may ping so often; by default a server ends the connection of one that pings twice in five minutes.
_LEAST_BETWEEN_PINGS_MS: Final = 10_000
#: A connection that is silent for so long is pinged, ...
_PING_AFTER_MS: Final = 60_000
#: ... and closed when no answer comes: its caller is gone without a word, and what it asked for is dropped.
_PING_ANSWER_MS: Final = 20_000
_HEALTH_CHECK_S: Final = 2.0


class GrpcServer:
    """Serves one recogniser."""

    def __init__(
        self, recogniser: Recogniser, address: str, *, gate: Gate, max_upload_bytes: int, shares_port: bool
    ) -> None:
        """Prepare the server inside a running event loop.

        Args:
            recogniser: what is served.
            address: host:port to listen on.
            gate: decides which calls are answered.
            max_upload_bytes: largest accepted file.
            shares_port: whether other processes listen on the same port and take turns.
        """
        self._recogniser = recogniser
        self._address = address
        self._server = grpc.aio.server(
            interceptors=[GateInterceptor(gate, recogniser.name)],
            maximum_concurrent_rpcs=_MOST_CALLS,
            options=[
                ("grpc.max_receive_message_length", max_upload_bytes + _MESSAGE_BYTES),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_metadata_size", _METADATA_BYTES),
                ("grpc.absolute_max_metadata_size", _METADATA_BYTES),
                ("grpc.max_concurrent_streams", _MOST_CALLS_OF_A_CONNECTION),
                ("grpc.so_reuseport", int(shares_port)),
                ("grpc.http2.min_ping_interval_without_data_ms", _LEAST_BETWEEN_PINGS_MS),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.keepalive_time_ms", _PING_AFTER_MS),
                ("grpc.keepalive_timeout_ms", _PING_ANSWER_MS),
                ("grpc.http2.ping_timeout_ms", _PING_ANSWER_MS),
                ("grpc.http2.max_pings_without_data", 0),
            ],
        )
        add_GRPCInferenceServiceServicer_to_server(
            InferenceService(recogniser, max_upload_bytes), self._server
        )
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        services = [pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name, health.SERVICE_NAME]
        reflection.enable_server_reflection([*services, reflection.SERVICE_NAME], self._server)
        self._services = ["", recogniser.name, services[0]]
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the port is taken.
        """
        try:
            self._server.add_insecure_port(self._address)
        except RuntimeError:
            raise OSError(
                f"The gRPC port {self._address} cannot be opened; another program may have it."
            ) from None
        await self._server.start()
        self._watch = asyncio.create_task(self._watch_health())

    async def stop(self, grace_s: float) -> None:
        """Refuse new calls, give those that run `grace_s` seconds to finish, and stop."""
        if self._watch is not None:
            self._watch.cancel()
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace_s)

    async def _watch_health(self) -> None:
        while True:
            try:
                await self._recogniser.versions()
                status = health_pb2.HealthCheckResponse.SERVING
            except CopyistError:
                status = health_pb2.HealthCheckResponse.NOT_SERVING
            for service in self._services:
                await self._health.set(service, status)
            await asyncio.sleep(_HEALTH_CHECK_S)
