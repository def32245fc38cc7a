"""Health and metrics over HTTP, of programs that are no services."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from services.errors import CopyistError
from services.runtime import metrics, problems
from services.runtime.request_ids import request_id_from


class _Server(uvicorn.Server):
    """A server in somebody else's process, which has signals of its own."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the process's signals alone."""
        yield


class Endpoints:
    """Serves /livez, /readyz and /metrics within the program's event loop.

    Args:
        host, port: where.
        alive: raises CopyistError when the process should be started anew.
        ready: raises CopyistError when the program could not do its work now.
        routes: what is served beside these.
    """

    def __init__(
        self,
        host: str,
        port: int,
        alive: Callable[[], None],
        ready: Callable[[], Awaitable[None]],
        routes: Sequence[BaseRoute] = (),
    ) -> None:
        self._host, self._port = host, port
        self._alive = alive
        self._ready = ready
        health = [
            Route("/livez", self._livez),
            Route("/readyz", self._readyz),
            Route("/metrics", self._metrics),
        ]
        config = uvicorn.Config(
            Starlette(routes=[*health, *routes]),
            log_config=None,
            access_log=False,
            lifespan="off",
            limit_concurrency=20,
            timeout_graceful_shutdown=2,
        )
        self._server = _Server(config)
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to serve.

        Raises:
            OSError: the port is taken.
        """
        # Bound here: the server by itself would end the process without a word of the reason.
        listening = socket.create_server((self._host, self._port))
        self._serving = asyncio.create_task(self._server.serve(sockets=[listening]))

    async def stop(self) -> None:
        """Stop serving."""
        self._server.should_exit = True
        if self._serving is not None:
            await asyncio.wait((self._serving,), timeout=5)

    async def _livez(self, request: Request) -> Response:
        try:
            self._alive()
        except CopyistError as error:
            return problems.response(error, request_id_from(""))
        return PlainTextResponse("alive\n")

    async def _readyz(self, request: Request) -> Response:
        try:
            await self._ready()
        except CopyistError as error:
            return problems.response(error, request_id_from(""))
        return PlainTextResponse("ready\n")

    async def _metrics(self, request: Request) -> Response:
        text = await asyncio.to_thread(metrics.exposition)
        return Response(text, headers={"Content-Type": metrics.CONTENT_TYPE})
