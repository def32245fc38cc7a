"""The gate in front of HTTP, around routes made for the test."""

from __future__ import annotations

import asyncio
import base64
import logging
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route, Router
from starlette.types import Message, Receive, Send
from starlette.types import Scope as Connection

from services.amt.api import AudioApi
from services.runtime import docs, http
from services.runtime.database import Database
from services.runtime.door.gate import Gate
from services.runtime.door.keys import API_KEYS, KeyStore, new_key
from services.runtime.door.principal import Scope
from services.runtime.forms import UploadKind, read_form
from services.runtime.http import Edge, principal
from services.runtime.settings import Settings
from tests.runtime.door.issuing import LittleIssuer, rsa_key, served

KIND = UploadKind("recording", "waltz.wav", max_files=1, when_too_large="Compress it.")


async def _me(request: Request) -> Response:
    return PlainTextResponse(principal(request).owner)


async def _open(request: Request) -> Response:
    return PlainTextResponse("open")


async def _docs(request: Request) -> Response:
    return Response(docs.page("<test> & co"), media_type="text/html")


async def _upload(request: Request) -> Response:
    form = await read_form(request, KIND, max_upload_bytes=1 << 20)
    await form.close()
    return PlainTextResponse("taken", headers={"Cache-Control": "private, max-age=60"})


class Held:
    """A route that answers when it is told to."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Hold back what comes from now on, in this event loop."""
        self.go_on = asyncio.Event()
        self.holds = asyncio.Semaphore(0)

    async def __call__(self, request: Request) -> Response:
        self.holds.release()
        await self.go_on.wait()
        return PlainTextResponse("done")


HELD = Held()

ROUTER = Router(
    [
        Route("/me", _me, methods=["GET"]),
        Route("/held", HELD.__call__, methods=["GET"]),
        Route("/v1/jobs/{id}/events", HELD.__call__, methods=["GET"]),
        Route("/upload", _upload, methods=["POST"]),
        *(Route(path, _open) for path in ("/livez", "/readyz", "/metrics", "/docs/openapi.json")),
        Route("/docs", _docs),
        Mount("/docs/assets", docs.assets()),
    ]
)


async def _wrapped(connection: Connection, receive: Receive, send: Send) -> None:
    raise AssertionError("what lies behind the edge answers no request")


@pytest.fixture
def settings(database: Database) -> Settings:
    return Settings(auth=True, database_url=database.url)


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Edge]:
    gate = Gate(settings, Scope.AMT)
    await gate.open()
    yield Edge(_wrapped, router=ROUTER, service="test", gate=gate)
    await gate.close()


@asynccontextmanager
async def client_of(settings: Settings, key: str = "") -> AsyncIterator[httpx.AsyncClient]:
    async with opened(settings) as edge:
        transport = httpx.ASGITransport(edge)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
            yield client


async def test_keys_let_their_owners_in(settings: Settings, store: KeyStore) -> None:
    keys = {owner: store.create(owner, [Scope.AMT])[0] for owner in ("team-a", "team-b", "Čeští hudebníci")}
    async with client_of(settings) as client:
        for owner, key in keys.items():
            for headers in ({"Authorization": f"Bearer {key}"}, {"X-Api-Key": key}):
                answer = await client.get("/me", headers=headers)
                assert (answer.status_code, answer.text) == (200, owner)


async def test_tokens_let_their_owners_in(settings: Settings, store: KeyStore, unused_tcp_port: int) -> None:
    issuing = LittleIssuer(unused_tcp_port, {"one": rsa_key()})
    async with (
        served(issuing.app(), unused_tcp_port),
        client_of(replace(settings, oidc_issuer=issuing.url)) as client,
    ):
        token = issuing.token("one", sub="anna")
        answer = await client.get("/me", headers={"Authorization": f"Bearer {token}"})
        assert (answer.status_code, answer.text) == (200, "anna")
        assert (await client.get("/me", headers={"X-Api-Key": token})).status_code == 401
        key, _ = store.create("team-a", list(Scope))
        assert (await client.get("/me", headers={"Authorization": f"Bearer {key}"})).text == "team-a"
        other = issuing.token("one", scope="omr")
        refused = await client.get("/me", headers={"Authorization": f"Bearer {other}"})
        assert refused.status_code == 403


async def test_without_a_key_that_counts_nobody_gets_in(
    settings: Settings, store: KeyStore, database: Database
) -> None:
    """And nobody learns which keys there are, or were."""
    now = datetime.now(UTC)
    good, record = store.create("team-a", list(Scope))
    expired, ending = store.create("team-a", list(Scope), expires_at=now + timedelta(days=1))
    with database.begin() as connection:
        ended = sa.update(API_KEYS).where(API_KEYS.c.id == ending.id)
        connection.execute(ended.values(expires_at=now - timedelta(seconds=1)))
    revoked, old = store.create("team-a", list(Scope))
    store.revoke(old.id)
    bad = [new_key("nokeyhas"), new_key(record.id), expired, revoked, good[:-1], "x", "a.b.c"]
    answers = set()
    async with client_of(settings) as client:
        for key in bad:
            answer = await client.get("/me", headers={"Authorization": f"Bearer {key}"})
            assert answer.status_code == 401, key
            assert answer.headers["WWW-Authenticate"] == 'Bearer realm="copyist"'
            assert answer.headers["Content-Type"] == "application/problem+json"
            problem = answer.json()
            assert problem["type"] == "urn:copyist:problem:unauthenticated"
            assert problem["remedy"]
            answers.add((problem["detail"], problem["remedy"]))
            assert key not in answer.text
        assert len(answers) == 1
        assert (await client.get("/me")).status_code == 401
        for path in ("/unknown", "/upload", "/v1", "/docs/", "/livez/x", "/docsx"):
            assert (await client.get(path)).status_code in (401, 307), path
        assert (await client.get("/me", headers={"Authorization": f"Bearer {good}"})).status_code == 200


async def test_a_key_must_have_the_services_scope(settings: Settings, store: KeyStore) -> None:
    key, _ = store.create("team-a", [Scope.OMR])
    async with client_of(settings, key) as client:
        answer = await client.get("/me")
        assert answer.status_code == 403
        assert answer.json()["type"] == "urn:copyist:problem:forbidden"
        assert "'amt'" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/docs", "/docs/openapi.json"])
async def test_some_routes_are_open(settings: Settings, path: str) -> None:
    async with client_of(settings) as client:
        assert (await client.get(path)).status_code == 200
        assert (await client.get("/docs/assets/swagger-ui.css")).status_code == 200
        assert (await client.get("/docs/assets/../../me")).status_code == 401


async def test_no_web_socket_passes(settings: Settings) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    async with opened(settings) as edge:
        await edge({"type": "websocket", "path": "/me", "headers": []}, receive, send)
    assert sent == [{"type": "websocket.close"}]


async def test_a_refused_upload_is_not_read(settings: Settings, store: KeyStore) -> None:
    pieces = 0

    async def receive() -> Message:
        nonlocal pieces
        pieces += 1
        return {"type": "http.request", "body": bytes(1 << 16), "more_body": pieces < 100}

    sent: list[tuple[int, Message]] = []

    async def send(message: Message) -> None:
        sent.append((pieces, message))

    connection = {"type": "http", "method": "POST", "path": "/upload", "query_string": b"", "headers": []}
    async with opened(settings) as edge:
        await edge(connection, receive, send)
    assert sent[0][0] == 0
    assert sent[0][1]["status"] == 401


async def test_calls_too_often_are_told_when_to_come_again(settings: Settings, store: KeyStore) -> None:
    first, _ = store.create("team-a", list(Scope))
    second, _ = store.create("team-a", list(Scope))
    other, _ = store.create("team-b", list(Scope))
    async with client_of(replace(settings, requests_per_minute=4)) as client:
        began = time.monotonic()
        statuses = [
            (await client.get("/me", headers={"X-Api-Key": key})).status_code
            for key in (first, second, first, second, first, other)
        ]
        assert statuses == [200, 200, 200, 200, 429, 200]
        refused = await client.get("/me", headers={"X-Api-Key": second})
        assert refused.json()["type"] == "urn:copyist:problem:rate-limited"
        # One call every 15 s, of which some have passed since the first.
        assert 15 - (time.monotonic() - began) <= int(refused.headers["Retry-After"]) <= 15
        assert (await client.get("/livez", headers={"X-Api-Key": first})).status_code == 200


async def test_too_many_at_once_are_refused(settings: Settings, store: KeyStore) -> None:
    mine, _ = store.create("team-a", list(Scope))
    others, _ = store.create("team-b", list(Scope))
    HELD.begin()
    async with client_of(replace(settings, max_requests_per_owner=2)) as client:
        headers = {"X-Api-Key": mine}
        held = [asyncio.create_task(client.get("/held", headers=headers)) for _ in range(2)]
        for _ in held:
            await HELD.holds.acquire()
        refused = await client.get("/me", headers=headers)
        assert refused.status_code == 429
        assert refused.json()["type"] == "urn:copyist:problem:overloaded"
        assert refused.headers["Retry-After"] == "1"
        assert (await client.get("/me", headers={"X-Api-Key": others})).status_code == 200
        HELD.go_on.set()
        assert [(await task).status_code for task in held] == [200, 200]
        assert (await client.get("/me", headers=headers)).status_code == 200


async def test_streams_are_counted_apart(settings: Settings, store: KeyStore) -> None:
    key, _ = store.create("team-a", list(Scope))
    HELD.begin()
    async with client_of(replace(settings, max_requests_per_owner=1, max_event_streams=4), key) as client:
        held = [asyncio.create_task(client.get(f"/v1/jobs/{number}/events")) for number in range(2)]
        for _ in held:
            await HELD.holds.acquire()
        assert (await client.get("/me")).status_code == 200
        refused = await client.get("/v1/jobs/2/events")
        assert refused.status_code == 429
        assert "half of COPYIST_MAX_EVENT_STREAMS" in refused.json()["detail"]
        HELD.go_on.set()
        assert [(await task).status_code for task in held] == [200, 200]


def test_the_streams_are_those_of_the_api() -> None:
    paths = {route.path for route in AudioApi().routes() if isinstance(route, Route)}
    assert paths.issuperset(http._STREAMS)
    assert paths.issuperset(set(http._OPEN) - {docs.ASSETS_PATH})


async def test_a_database_that_is_away_is_no_fault_of_the_caller(tmp_path: Any) -> None:
    settings = Settings(auth=True, database_url=f"sqlite:///{tmp_path}/copyist.sqlite")
    async with client_of(settings, new_key("AbCd1234")) as client:  # its tables were never made
        answer = await client.get("/me")
        assert answer.status_code == 503
        assert answer.json()["type"] == "urn:copyist:problem:database-unavailable"
        assert int(answer.headers["Retry-After"]) > 0
        assert (await client.get("/livez")).status_code == 200


async def test_before_the_gate_is_open_nobody_gets_in(settings: Settings, store: KeyStore) -> None:
    key, _ = store.create("team-a", list(Scope))
    edge = Edge(_wrapped, router=ROUTER, service="test", gate=Gate(settings, Scope.AMT))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(edge), base_url="http://test") as client:
        assert (await client.get("/me", headers={"X-Api-Key": key})).status_code == 503
        assert (await client.get("/me")).status_code == 401


async def test_with_the_door_off_everybody_is_local(database: Database) -> None:
    settings = Settings(requests_per_minute=1, max_requests_per_owner=1, database_url=database.url)
    async with client_of(settings) as client:
        for headers in ({}, {"Authorization": "Basic odd"}, {"X-Api-Key": "odd"}):
            assert (await client.get("/me", headers=headers)).text == "local"


@pytest.mark.parametrize(
    ("host", "auth", "warned"),
    [
        ("0.0.0.0", False, True),
        ("192.0.2.1", False, True),
        ("copyist.example.org", False, True),
        ("::", False, True),
        ("127.0.0.1", False, False),
        ("127.8.9.1", False, False),
        ("localhost", False, False),
        ("::1", False, False),
        ("0.0.0.0", True, False),
    ],
)
async def test_an_open_door_to_the_network_is_warned_of(
    settings: Settings, caplog: pytest.LogCaptureFixture, host: str, auth: bool, warned: bool
) -> None:
    with caplog.at_level(logging.WARNING, "copyist.door"):
        async with opened(replace(settings, host=host, auth=auth)):
            pass
    told = [record.levelname for record in caplog.records if record.name == "copyist.door"]
    assert told == (["WARNING"] if warned else [])
    assert ("COPYIST_AUTH=on" in caplog.text) is warned


HEAD = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
END = b"\r\n--b--\r\n"


async def _send_slowly(
    port: int, key: str, length: int, piece: bytes, pause_s: float
) -> tuple[int, float, float]:
    """Post an upload, a piece at a time; give the answer's status, and the seconds sent and until it came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: {len(HEAD) + length + len(END)}\r\n"
    head += f"Content-Type: multipart/form-data; boundary=b\r\nX-Api-Key: {key}\r\n\r\n"
    writer.write(head.encode() + HEAD)
    answer = asyncio.create_task(reader.readline())
    clock = asyncio.get_running_loop().time
    started_at = clock()
    sent = 0
    while not answer.done() and sent < length:
        writer.write(piece)
        sent += len(piece)
        await asyncio.sleep(pause_s)
    sent_s = clock() - started_at
    writer.write(END)
    status = int((await answer).split()[1])
    writer.close()
    return status, sent_s, clock() - started_at


async def test_an_upload_may_be_slow_but_not_endless(
    settings: Settings, store: KeyStore, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "_UPLOAD_GRACE_S", 0.5)
    monkeypatch.setattr(http, "_SLOWEST_BYTES_S", 10_000)
    key, _ = store.create("team-a", list(Scope))
    async with opened(replace(settings, max_requests_per_owner=1)) as edge, served(edge, unused_tcp_port):
        for piece in (b"x" * 10, b""):
            status, _, answered_s = await _send_slowly(unused_tcp_port, key, 1_000_000, piece, 0.02)
            assert status == 408
            assert 0.4 < answered_s < 10  # all of it would take half an hour
        # Well above the slowest rate it may take longer than the grace. The first piece is good for 20 s.
        monkeypatch.setattr(http, "_SLOWEST_BYTES_S", 100)
        status, sent_s, _ = await _send_slowly(unused_tcp_port, key, 100_000, b"x" * 2_000, 0.02)
        assert status == 200
        assert sent_s > 0.9
        # The place among the calls that are served at once is free again.
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{unused_tcp_port}") as client:
            assert (await client.get("/me", headers={"X-Api-Key": key})).status_code == 200


async def test_browsers_are_told_to_do_little(settings: Settings, store: KeyStore) -> None:
    key, _ = store.create("team-a", list(Scope))
    async with client_of(settings, key) as client:
        for path, status in (("/me", 200), ("/unknown", 404), ("/livez", 200)):
            answer = await client.get(path)
            assert answer.status_code == status
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["X-Frame-Options"] == "DENY"
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
            assert answer.headers["Cache-Control"] == "no-store"
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "script-src" not in policy
            assert "Access-Control-Allow-Origin" not in answer.headers
            assert "Server" not in answer.headers
        uploaded = await client.post("/upload", files={"file": b"x"})
        assert uploaded.headers["Cache-Control"] == "private, max-age=60"
        refused = await client.get("/me", headers={"Authorization": ""})
        assert refused.status_code == 401
        assert refused.headers["Cache-Control"] == "no-store"


async def test_the_documentation_may_run_its_own_script_and_no_other(settings: Settings) -> None:
    async with client_of(settings) as client:
        page = await client.get("/docs")
        assert "<test>" not in page.text
        policy = page.headers["Content-Security-Policy"]
        (script,) = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
        digest = base64.b64encode(sha256(script.encode()).digest()).decode()
        assert f"script-src 'self' 'sha256-{digest}';" in policy
        assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]
        asset = await client.get("/docs/assets/swagger-ui-bundle.js")
        assert asset.headers["X-Content-Type-Options"] == "nosniff"
        assert "no-store" not in asset.headers.get("Cache-Control", "")


STUDIO = "https://studio.example.org"


async def test_pages_of_named_origins_may_call(settings: Settings, store: KeyStore) -> None:
    key, _ = store.create("team-a", list(Scope))
    settings = replace(settings, cors_origins=f"{STUDIO}, http://localhost:5173")
    async with client_of(settings) as client:
        preflight = await client.options(
            "/me",
            headers={
                "Origin": STUDIO,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization, idempotency-key, content-type",
            },
        )
        assert preflight.status_code == 200
        assert preflight.headers["Access-Control-Allow-Origin"] == STUDIO
        assert "Access-Control-Allow-Credentials" not in preflight.headers
        assert (await client.get("/me", headers={"X-Api-Key": key})).headers["Vary"] == "Origin"
        for answer, status in (
            (await client.get("/me", headers={"Origin": STUDIO, "X-Api-Key": key}), 200),
            (await client.get("/me", headers={"Origin": STUDIO}), 401),
        ):
            assert answer.status_code == status
            assert answer.headers["Access-Control-Allow-Origin"] == STUDIO
            assert "Origin" in answer.headers["Vary"]
            assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]
        other = {"Origin": "https://studio.example.org.evil.example", "X-Api-Key": key}
        answer = await client.get("/me", headers=other)
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert "Origin" in answer.headers["Vary"]
        refused = await client.options("/me", headers={**other, "Access-Control-Request-Method": "GET"})
        assert refused.status_code == 400
        assert "Access-Control-Allow-Origin" not in refused.headers


@pytest.mark.parametrize(
    "origins", ["*", "https://*.example.org", "studio.example.org", f"{STUDIO}/", "null"]
)
def test_origins_must_be_exact(settings: Settings, origins: str) -> None:
    gate = Gate(replace(settings, cors_origins=origins), Scope.AMT)
    with pytest.raises(ValueError, match="COPYIST_CORS_ORIGINS"):
        Edge(_wrapped, router=ROUTER, service="test", gate=gate)
