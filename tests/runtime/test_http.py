"""The edge of the HTTP API, around routes made for the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, Router
from starlette.types import Message, Receive, Scope, Send

from services.errors import ModelUnavailableError, OverloadedError
from services.runtime import metrics
from services.runtime.door import principal
from services.runtime.door.gate import Gate
from services.runtime.forms import UploadKind, read_form
from services.runtime.http import Edge, request_id, while_connected
from services.runtime.settings import Settings

EVERYBODY = Gate(Settings(), principal.Scope.AMT)
LIMIT = 1 << 20
KIND = UploadKind("recording", "waltz.wav", max_files=1, when_too_large="Compress it.")


async def _hello(request: Request) -> Response:
    return PlainTextResponse(request_id(request))


async def _fault(request: Request) -> Response:
    raise ZeroDivisionError("secret")


async def _away(request: Request) -> Response:
    raise ModelUnavailableError("away", remedy="wait", retry_after_s=7)


async def _full(request: Request) -> Response:
    raise OverloadedError("full", remedy="wait", retry_after_s=3)


async def _upload(request: Request) -> Response:
    async with asyncio.timeout(60):
        form = await read_form(request, KIND, max_upload_bytes=LIMIT)
    size = form["file"].size  # type: ignore[union-attr]
    await form.close()
    return PlainTextResponse(str(size))


async def _wrapped(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("what lies behind the edge answers no request")


EDGE = Edge(
    _wrapped,
    router=Router(
        [
            Route("/hello", _hello, methods=["GET"]),
            Route("/fault", _fault),
            Route("/away", _away),
            Route("/full", _full),
            Route("/upload", _upload, methods=["POST"]),
        ]
    ),
    service="test",
    gate=EVERYBODY,
)


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=_as_bentoml)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def _as_bentoml(scope: Scope, receive: Receive, send: Send) -> None:
    # BentoML's own Starlette application stands in the scope by the time that its middlewares run.
    scope["app"] = object()
    await EDGE(scope, receive, send)


async def test_a_request_id_is_taken_or_made(http: httpx.AsyncClient) -> None:
    given = await http.get("/hello", headers={"X-Request-Id": "abc-1.2_3"})
    assert given.text == given.headers["X-Request-Id"] == "abc-1.2_3"
    for odd in ("", "a b", "x" * 101, "<script>", "-x"):
        made = await http.get("/hello", headers={"X-Request-Id": odd})
        assert made.text == made.headers["X-Request-Id"] != odd
        assert len(made.text) == 32


@pytest.mark.parametrize(
    ("path", "status", "slug", "retry_after"),
    [
        ("/nothing", 404, "not-found", None),
        ("/upload", 405, "method-not-allowed", None),
        ("/away", 503, "model-unavailable", "7"),
        ("/full", 429, "overloaded", "3"),
        ("/fault", 500, "internal-error", None),
    ],
)
async def test_every_error_is_a_problem(
    http: httpx.AsyncClient, path: str, status: int, slug: str, retry_after: str | None
) -> None:
    answer = await http.get(path, headers={"X-Request-Id": "mine"})
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers.get("Retry-After") == retry_after
    problem = answer.json()
    assert problem["type"] == f"urn:copyist:problem:{slug}"
    assert problem["instance"] == "mine"
    assert problem["detail"]
    assert problem["remedy"]
    assert "secret" not in answer.text


async def test_an_upload_at_the_limit_passes_and_beyond_it_does_not(http: httpx.AsyncClient) -> None:
    passes = await http.post("/upload", files={"file": bytes(LIMIT)})
    assert passes.text == str(LIMIT)
    refused = await http.post("/upload", files={"file": bytes(LIMIT + 1)})
    assert refused.status_code == 413
    assert f"{LIMIT} bytes" in refused.json()["detail"]


@pytest.mark.parametrize("announced", [True, False])
async def test_the_rest_of_a_refused_upload_is_not_kept(announced: bool) -> None:
    """The limit holds while the body streams; what follows is thrown away for a moment only."""
    sent = 0
    answered: list[Message] = []
    length = [(b"content-length", str(1 << 30).encode())] if announced else []

    async def receive() -> Message:
        nonlocal sent
        sent += 1
        await asyncio.sleep(0.001)
        first = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        return {"type": "http.request", "body": first if sent == 1 else bytes(1 << 16), "more_body": True}

    async def send(message: Message) -> None:
        answered.append({**message, "after": sent})

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/upload",
        "query_string": b"",
        "headers": [(b"content-type", b"multipart/form-data; boundary=x"), *length],
    }
    await _as_bentoml(scope, receive, send)
    start, body, end = answered
    assert start["status"] == 413
    assert (b"connection", b"close") in start["headers"]
    assert body["after"] <= (0 if announced else LIMIT // (1 << 16) + 4)
    assert end == {"type": "http.response.body", "body": b"", "more_body": False, "after": sent}


async def test_work_ends_when_the_client_leaves() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.sleep(600)
        finally:
            ended.set()

    async def route(request: Request) -> Response:
        await while_connected(request, work())
        return PlainTextResponse("done")

    edge = Edge(_wrapped, router=Router([Route("/work", route)]), service="test", gate=EVERYBODY)
    messages: asyncio.Queue[Message] = asyncio.Queue()
    statuses: list[int] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope = {"type": "http", "method": "GET", "path": "/work", "query_string": b"", "headers": []}
    serving = asyncio.create_task(edge(scope, messages.get, send))
    await asyncio.wait_for(begun.wait(), 60)
    assert not ended.is_set()
    messages.put_nowait({"type": "http.disconnect"})
    await asyncio.wait_for(serving, 60)
    assert ended.is_set()
    assert statuses == [499]


async def test_requests_are_counted_by_route_and_never_by_path(http: httpx.AsyncClient) -> None:
    await http.get("/hello")
    await http.get("/somewhere/else?secret=1")
    text = metrics.exposition().decode()
    assert 'copyist_requests_total{protocol="http",route="/hello",service="test",status="200"}' in text
    assert 'route="unknown",service="test",status="404"' in text
    assert "somewhere" not in text
    assert 'copyist_requests_in_flight{protocol="http",route="/hello",service="test"} 0.0' in text
