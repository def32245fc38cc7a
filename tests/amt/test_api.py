"""The routes over a transcriber made for the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

import httpx
import pytest
from starlette.routing import Router
from starlette.types import Receive, Scope, Send

from services.amt.api import AudioApi
from services.amt.options import Options
from services.amt.transcriber import Transcription
from services.errors import OverloadedError
from services.runtime.door import principal
from services.runtime.door.gate import Gate
from services.runtime.http import Edge
from services.runtime.settings import Settings

EVERYBODY = Gate(Settings(), principal.Scope.AMT)


@dataclass
class FakeTranscriber:
    """Takes as long as it is told to and remembers what it was asked."""

    takes_s: float = 0.0
    full: bool = False
    asked: list[tuple[Options, str]] = field(default_factory=list)
    cancelled: bool = False
    source: BinaryIO | None = None

    def check_room(self) -> None:
        if self.full:
            raise OverloadedError("full", remedy="wait")

    async def transcribe(
        self, source: BinaryIO, options: Options, *, request_id: str, title: str
    ) -> Transcription:
        self.asked.append((options, title))
        self.source = source
        try:
            await asyncio.sleep(self.takes_s)
        except asyncio.CancelledError:
            assert not source.closed, "a file must stay open while it is read"
            self.cancelled = True
            raise
        return Transcription("piano", "1", 1.0, (), None, None, None, {}, {"decode": 0.1})


@dataclass
class FakeBackend:
    """What the routes need of a backend."""

    transcriber: FakeTranscriber = field(default_factory=FakeTranscriber)
    settings: Settings = field(default_factory=lambda: Settings(max_upload_bytes=1000))


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()


@pytest.fixture
async def http(backend: FakeBackend) -> AsyncIterator[httpx.AsyncClient]:
    api = AudioApi()
    api.backend = backend  # type: ignore[assignment]
    edge = Edge(_nothing, router=Router(api.routes()), service="test", gate=EVERYBODY)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = object()
        await edge(scope, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError


def _upload(name: str = "waltz.wav") -> dict[str, Any]:
    return {"file": (name, b"sound")}


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("*/*", "application/json"),
        ("", "application/json"),
        ("application/zip", "application/zip"),
        ("application/json;q=0.5, application/zip", "application/zip"),
        ("application/zip;q=0.9, application/json", "application/json"),
        ("text/html, application/*;q=0.1", "application/json"),
        ("text/html, */*;q=0.8", "application/json"),
    ],
)
async def test_the_answer_takes_an_accepted_form(
    http: httpx.AsyncClient, accept: str, media_type: str
) -> None:
    answer = await http.post("/v1/transcribe", files=_upload(), headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == media_type


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", "application/zip;q=0, image/png"])
async def test_nothing_acceptable_is_told_before_the_upload_is_read(
    http: httpx.AsyncClient, backend: FakeBackend, accept: str
) -> None:
    answer = await http.post("/v1/transcribe", files=_upload(), headers={"Accept": accept})
    assert answer.status_code == 406
    assert not backend.transcriber.asked


async def test_options_come_from_form_and_address_and_the_form_wins(
    http: httpx.AsyncClient, backend: FakeBackend
) -> None:
    await http.post(
        "/v1/transcribe",
        params={"tempo": "60", "quantise": "1/8"},
        data={"tempo": "90"},
        files=_upload("Two Waltzes.flac"),
    )
    ((options, title),) = backend.transcriber.asked
    assert (options.tempo_bpm, options.quantise.value, title) == (90, "1/8", "Two Waltzes")


async def test_a_full_service_refuses_with_a_time_to_come_back(
    http: httpx.AsyncClient, backend: FakeBackend
) -> None:
    backend.transcriber.full = True
    answer = await http.post("/v1/transcribe", files=_upload())
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "5"


async def test_a_request_that_takes_too_long_is_given_up(
    http: httpx.AsyncClient, backend: FakeBackend
) -> None:
    backend.settings = replace(backend.settings, request_timeout_s=1)
    backend.transcriber.takes_s = 600
    answer = await http.post("/v1/transcribe", files=_upload())
    assert answer.status_code == 504
    assert "limit of 1 s (COPYIST_REQUEST_TIMEOUT_S)" in answer.json()["detail"]
    assert backend.transcriber.cancelled


async def test_the_upload_is_closed_afterwards(http: httpx.AsyncClient, backend: FakeBackend) -> None:
    await http.post("/v1/transcribe", files=_upload())
    assert backend.transcriber.source is not None
    assert backend.transcriber.source.closed


async def test_before_the_service_has_started_it_says_so() -> None:
    edge = Edge(_nothing, router=Router(AudioApi().routes()), service="test", gate=EVERYBODY)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(edge), base_url="http://test") as client:
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/readyz")).status_code == 503
