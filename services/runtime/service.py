"""A service as BentoML serves it: what is the same whatever the service does.

BentoML gives the processes, their supervision, the packaging and the life cycle. The HTTP API is our own
application in front of it: BentoML's endpoints fetch an upload's address where one is given, read a body
of any size, and answer errors in forms of their own. The gRPC API runs beside it, in the same event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

import bentoml
from bentoml._internal.server.http import traffic
from starlette.types import ASGIApp, Receive, Scope, Send

from services.runtime import tracing
from services.runtime.api import ApiBackend, ServiceApi
from services.runtime.door.gate import Gate
from services.runtime.grpc import GrpcServer
from services.runtime.inference import Recogniser
from services.runtime.jobs.desk import JobDesk
from services.runtime.parent import end_with_parent
from services.runtime.settings import Settings
from services.runtime.stopping import when_told_to_stop


class _Untimed:
    """ASGI middleware in the place of BentoML's limit on the time of requests; there are limits of our own.

    BentoML's timer goes on when its request has been answered, until the limit, and keeps some kilobytes: an
    hour's requests, and those that ask for jobs every second are many, would fill the process's memory.
    """

    def __init__(self, app: ASGIApp, timeout: float) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


# There is no setting for it: a limit must be positive.
traffic.TimeoutMiddleware = _Untimed  # type: ignore[misc, assignment]


class ServiceBackend(ApiBackend, Protocol):
    """What serving needs of a service's inside."""

    async def warm_up(self) -> None:
        """Make ready what the first caller should not wait for."""
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...


B = TypeVar("B", bound=ServiceBackend)


class ServingProcess(Generic[B]):
    """One serving process; each service has a subclass of its own, which says what it consists of.

    Attributes:
        settings: as the operator has them.
        grpc_port: port of the gRPC API.
        workers: how many such processes there are.
        gate: in front of both APIs.
        api: the HTTP routes; they work once the process has started.
        backend: makes the service's inside, within the event loop.
        recogniser: makes its gRPC side of its inside.
    """

    settings: Settings
    grpc_port: int
    workers: int
    gate: Gate
    api: ServiceApi[B]
    backend: Callable[[Settings], B]
    recogniser: Callable[[B], Recogniser]

    @bentoml.on_startup  # type: ignore[untyped-decorator]
    async def start(self) -> None:
        """Connect to the model server, open the gRPC port, and warm up."""
        # BentoML's main process may be killed: what it leaves behind would hold the ports.
        end_with_parent()
        kind = type(self)
        backend = kind.backend(self.settings)
        recogniser = kind.recogniser(backend)
        tracing.configure(self.settings, recogniser.name)
        self.grpc_server = GrpcServer(
            recogniser,
            f"{self.settings.host}:{self.grpc_port}",
            gate=self.gate,
            max_upload_bytes=self.settings.max_upload_bytes,
            shares_port=self.workers > 1,
        )
        await self.gate.open()
        await self.grpc_server.start()
        self.warming = asyncio.create_task(backend.warm_up())
        self.api.desk = desk = JobDesk(self.api.jobs.service, self.settings)
        desk.start()
        when_told_to_stop(self._begin_to_stop)
        self.api.backend = backend

    def _begin_to_stop(self) -> None:
        """Let go at once of what does not end by itself, and take no more over gRPC."""
        assert self.api.desk is not None  # noqa: S101 - made by start
        self.api.desk.end_streams()
        # The time of both begins now: `stop` is called when the last HTTP request has ended.
        self.draining = asyncio.create_task(self.grpc_server.stop(self.settings.drain_s))
        asyncio.get_running_loop().call_later(self.settings.drain_s, self.gate.under_way.end)

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    async def stop(self) -> None:
        """Finish what runs, and let go of everything."""
        await self.grpc_server.stop(self.settings.drain_s)
        self.warming.cancel()
        if self.api.desk is not None:
            await self.api.desk.close()
        if self.api.backend is not None:
            await self.api.backend.close()
        await self.gate.close()
        await asyncio.to_thread(tracing.shutdown)

    @classmethod
    def bentoml_options(cls) -> dict[str, Any]:
        """How BentoML is to serve it."""
        return {
            "workers": cls.workers,
            "metrics": {"enabled": False},
            "logging": {"access": {"enabled": False}},
        }
