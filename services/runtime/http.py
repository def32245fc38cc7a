"""The edge of a service's HTTP API: the gate, request ids, problem documents, metrics, time for uploads."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Iterator
from contextlib import AbstractContextManager, suppress
from http import HTTPMethod
from typing import Any, Final, TypeVar

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match, Mount, Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.errors import CopyistError, UploadTooSlowError
from services.runtime import afterwards, docs, logs, metrics, problems, tracing
from services.runtime.door.gate import Gate
from services.runtime.door.headers import security_headers, with_cors
from services.runtime.door.principal import NOBODY, Principal
from services.runtime.request_ids import request_id_from

R = TypeVar("R")

log = logging.getLogger("copyist.requests")

REQUEST_ID_HEADER: Final = "X-Request-Id"
#: nginx's status for a client that left; nobody reads it but the metrics and the log.
CLIENT_CLOSED_REQUEST: Final = 499
#: Asked every few seconds by Kubernetes and Prometheus.
_UNLOGGED: Final = ("/livez", "/readyz", "/metrics")
#: What needs no key: who runs the service asks these, and who reads how to use it has none yet.
_OPEN: Final = (*_UNLOGGED, docs.PAGE_PATH, f"{docs.PAGE_PATH}/openapi.json", docs.ASSETS_PATH)
#: Answers that go on for hours and cost little: they are no reason to refuse their owner other calls.
_STREAMS: Final = ("/v1/jobs/{id}/events",)
#: An upload may take so many seconds, and one more for each so many bytes that have come.
_UPLOAD_GRACE_S: Final = 30.0
_SLOWEST_BYTES_S: Final = 16 << 10
#: Seconds in which the rest of a refused upload is taken in and thrown away, so that the answer arrives: a
#: connection closed with unread bytes is reset, and a reset may overtake the answer.
_LINGER_S: Final = 1.0


class Edge:
    """ASGI middleware that answers every HTTP request with `router`, whatever it wraps.

    It is meant to lie in front of BentoML's own application, whose routes answer errors in other forms;
    the rest of the traffic (the lifespan) goes through.
    """

    def __init__(self, wrapped: ASGIApp, *, router: Router, service: str, gate: Gate) -> None:
        self.wrapped = wrapped
        self.router = router
        self.service = service
        self.gate = gate
        self.serve = with_cors(self._serve, gate.settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of ASGI."""
        match scope["type"]:
            case "http":
                await self.serve(scope, receive, send)
            case "lifespan":
                await self.wrapped(scope, receive, send)
            case _:  # a web socket: there is none here, and none may pass the gate unseen
                await send({"type": "websocket.close"})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = _request_id(scope)
        scope.setdefault("state", {}).update(request_id=request_id, principal=NOBODY)
        route = _template(self.router, scope)
        body, answer = _Body(receive), _Answer(send, request_id, route)
        started_at = time.perf_counter()
        with (
            logs.bind(request_id=request_id),
            afterwards.collected() as later,
            _traced(scope, route, request_id) as span,
            metrics.observe(self.service, "http", route) as request,
        ):
            try:
                await self._answer(scope, body, answer, route)
            finally:
                request.status = str(answer.status)
                if body.received_bytes:
                    metrics.observe_upload(self.service, "http", body.received_bytes)
                _tell(scope, route, answer.status, time.perf_counter() - started_at, span)
        for begin in later:
            begin(answer.status < 400)

    async def _answer(self, scope: Scope, body: _Body, answer: _Answer, route: str) -> None:
        request_id = answer.request_id
        try:
            if route in _OPEN:
                await self.router(scope, body, answer)
                return
            passing = self.gate.passing(_headers(scope), stream=route in _STREAMS)
            async with passing as scope["state"]["principal"]:
                with self.gate.under_way.one():
                    await self.router(scope, body, answer)
            return
        except CopyistError as error:
            if error.status >= 500 and scope["path"] not in _UNLOGGED:
                log.warning("%s: %s", type(error).__name__, error)
            response = problems.response(error, request_id)
        except HTTPException as error:
            refusal = problems.from_http_status(error.status_code, scope["method"], scope["path"])
            response = problems.response(refusal, request_id)
            response.headers.update(error.headers or {})
        except ClientDisconnect:
            response = Response(status_code=CLIENT_CLOSED_REQUEST)
        except Exception:
            log.exception("unexpected error")
            response = problems.response(problems.unexpected(request_id), request_id)
        if answer.begun:
            raise RuntimeError("the answer broke off after it had begun")
        await _refuse(response, body, answer)


def _traced(scope: Scope, route: str, request_id: str) -> AbstractContextManager[tracing.Traced]:
    if route in _UNLOGGED:
        return tracing.UNTRACED
    carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    method = _method(scope)
    attributes = {"http.request.method": method, "http.route": route, "request_id": request_id}
    return tracing.span(f"{method} {route}", attributes, kind="server", carrier=carrier)


def _tell(scope: Scope, route: str, status: int, seconds: float, span: tracing.Traced) -> None:
    """Tell log and trace how a request ended."""
    span.note({"http.response.status_code": status})
    if status >= 500:
        span.fail(str(status))
    if route not in _UNLOGGED:
        method = _method(scope)
        told = {"protocol": "http", "method": method, "route": route, "status": status}
        caller = scope["state"]["principal"]
        who = {"owner": caller.owner, "credential": caller.credential}
        line = logs.fields(**told, seconds=round(seconds, 6), **who)
        log.info("%s %s %d %.3f s", method, route, status, seconds, extra=line)


async def _refuse(response: Response, body: _Body, send: Send) -> None:
    """Send an answer to a request whose body may not have been read, and close the connection if so."""
    if not body.unread:
        await response({"type": "http"}, body, send)
        return
    response.headers["Connection"] = "close"
    start = {"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers}
    await send(start)
    await send({"type": "http.response.body", "body": bytes(response.body), "more_body": True})
    with suppress(TimeoutError, UploadTooSlowError):
        async with asyncio.timeout(_LINGER_S):
            while body.unread:
                await body()
    await send({"type": "http.response.body", "body": b"", "more_body": False})


class _Body:
    """Receives a request's body, if it comes fast enough, and knows whether some of it is still to come."""

    def __init__(self, receive: Receive) -> None:
        self.receive = receive
        self.unread = True
        self.received_bytes = 0
        self.left_s = _UPLOAD_GRACE_S

    async def __call__(self) -> Message:
        if not self.unread:  # nothing but the client's leaving is to come, and that may take its time
            return await self.receive()
        began = time.perf_counter()
        try:
            async with asyncio.timeout(self.left_s):
                message = await self.receive()
        except TimeoutError:
            raise UploadTooSlowError(
                f"The upload took more than {_UPLOAD_GRACE_S:.0f} s and came at less than "
                f"{_SLOWEST_BYTES_S} bytes a second.",
                remedy="Send it over a faster line, or compress it.",
            ) from None
        self.received_bytes += len(message.get("body", b""))
        self.left_s += len(message.get("body", b"")) / _SLOWEST_BYTES_S - (time.perf_counter() - began)
        self.unread = message["type"] == "http.request" and message.get("more_body", False)
        return message


class _Answer:
    """Sends an answer, adds the headers that all have, and remembers its status."""

    def __init__(self, send: Send, request_id: str, route: str) -> None:
        self.send = send
        self.request_id = request_id
        self.route = route
        self.status = CLIENT_CLOSED_REQUEST
        self.begun = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers[REQUEST_ID_HEADER] = self.request_id
            for name, value in security_headers(self.route).items():
                headers.setdefault(name, value)
        await self.send(message)


def _request_id(scope: Scope) -> str:
    """Take the caller's request id where it is a sensible one, or make a new one."""
    wanted = REQUEST_ID_HEADER.lower().encode()
    for name, value in scope["headers"]:
        if name == wanted:
            return request_id_from(value.decode("latin-1"))
    return request_id_from("")


def _template(router: Router, scope: Scope) -> str:
    for route in router.routes:
        if route.matches(scope)[0] is not Match.NONE:
            return route.path if isinstance(route, Route | Mount) else "unknown"
    return "unknown"


def _method(scope: Scope) -> str:
    """Name the method; a caller may have made one up, of any length."""
    return str(scope["method"]) if scope["method"] in HTTPMethod.__members__ else "_OTHER"


def _headers(scope: Scope) -> Iterator[tuple[str, str]]:
    return ((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])


def request_id(request: Request) -> str:
    """Tell the id of a request that came through the `Edge`."""
    return str(request.state.request_id)


def principal(request: Request) -> Principal:
    """Tell who sent a request that came through the `Edge`."""
    caller: Principal = request.state.principal
    return caller


async def while_connected(request: Request, work: Coroutine[Any, Any, R]) -> R:
    """Do the work, but drop it once the client has closed the connection.

    The request's body must have been read.

    Raises:
        ClientDisconnect: the client left first.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_disconnection(request))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        leaving.cancel()
        if not working.done():
            working.cancel()
            await asyncio.wait((working,))


async def _disconnection(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
