"""The routes over a reader made for the test."""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import httpx
import pytest
from starlette.routing import Router
from starlette.types import Receive, Scope, Send

from services.errors import OverloadedError
from services.omr.api import PageApi
from services.omr.assembly.recognition import FoundPage, Recognition
from services.omr.options import Options, PageFormat
from services.omr.palette import ColourBy
from services.omr.reader import Reading
from services.omr.uploads import PagePlace
from services.runtime.door import principal
from services.runtime.door.gate import Gate
from services.runtime.http import Edge
from services.runtime.settings import Settings

EVERYBODY = Gate(Settings(), principal.Scope.OMR)


@dataclass
class FakeReader:
    """Takes as long as it is told to and remembers what it was asked."""

    takes_s: float = 0.0
    full: bool = False
    asked: list[tuple[list[bytes], Options, str]] = field(default_factory=list)
    cancelled: bool = False

    def check_room(self) -> None:
        if self.full:
            raise OverloadedError("full", remedy="wait")

    async def read(
        self, sources: Sequence[BinaryIO], options: Options, *, request_id: str, title: str
    ) -> Reading:
        self.asked.append(([source.read() for source in sources], options, title))
        try:
            await asyncio.sleep(self.takes_s)
        except asyncio.CancelledError:
            assert not any(source.closed for source in sources), "files must stay open while they are read"
            self.cancelled = True
            raise
        count = len(sources)
        places = tuple(PagePlace(Path(str(i)), i, 1, 0, False) for i in range(count))
        files = {PageFormat.OVERLAY: (b"picture",) * count} if options.formats else {}
        recognition = Recognition((FoundPage((10, 20), (), ()),) * count, (), None, ())
        return Reading("symbols", "1", None, places, recognition, files, {"model": 0.1})

    async def restore(self, sources: Sequence[BinaryIO]) -> tuple[bytes, ...]:
        return tuple(source.read() for source in sources)


@dataclass
class FakeBackend:
    """What the routes need of a backend."""

    reader: FakeReader = field(default_factory=FakeReader)
    settings: Settings = field(default_factory=lambda: Settings(max_upload_bytes=1000, max_pages=3))


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()


@pytest.fixture
async def http(backend: FakeBackend) -> AsyncIterator[httpx.AsyncClient]:
    api = PageApi()
    api.backend = backend  # type: ignore[assignment]
    edge = Edge(_nothing, router=Router(api.routes()), service="test", gate=EVERYBODY)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = object()
        await edge(scope, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError


def _pages(*names: str) -> list[tuple[str, tuple[str, bytes]]]:
    return [("file", (name, name.encode())) for name in names]


async def test_files_are_read_in_the_order_in_which_they_were_sent(
    http: httpx.AsyncClient, backend: FakeBackend
) -> None:
    answer = await http.post(
        "/v1/recognize",
        params={"colour_by": "staff", "explain": "0"},
        data={"explain": "1", "formats": "overlay"},
        files=_pages("b.png", "a.png"),
    )
    ((contents, options, title),) = backend.reader.asked
    assert contents == [b"b.png", b"a.png"]
    assert options == Options((PageFormat.OVERLAY,), ColourBy.STAFF, explain=True)
    assert title == "b"
    told = answer.json()
    assert [file["name"] for file in told["files"]] == ["b-1.overlay.png", "b-2.overlay.png"]
    assert told["message"] == "No staves found."
    assert [page["file"] for page in told["pages"]] == [0, 1]
    assert told["decisions"] == []


async def test_a_zip_holds_the_files_and_the_answer(http: httpx.AsyncClient) -> None:
    answer = await http.post(
        "/v1/recognize",
        data={"formats": "overlay"},
        files=_pages("../x.png"),
        headers={"Accept": "application/zip"},
    )
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist() == ["x.overlay.png", "x.json"]
        assert archive.read("x.overlay.png") == b"picture"


async def test_decisions_are_told_only_where_asked_for(http: httpx.AsyncClient) -> None:
    assert "decisions" not in (await http.post("/v1/recognize", files=_pages("a.png"))).json()


async def test_more_files_than_pages_allowed_are_refused(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/recognize", files=_pages("a", "b", "c", "d"))
    assert answer.status_code == 400
    assert "at most 3 files" in answer.json()["remedy"]


@pytest.mark.parametrize(
    ("more", "status", "words"),
    [
        ({"files": {"file": (None, "https://example.org/page.png")}}, 400, "not fetched"),
        ({"data": {"formats": "midi"}}, 400, "multipart/form-data"),
        ({"files": {"page": ("a.png", b"1")}}, 400, "no file in the field 'file'"),
        ({"files": {"file": ("a.png", bytes(1001))}}, 413, "COPYIST_MAX_UPLOAD_BYTES"),
        ({"files": [("file", ("a", bytes(600))), ("file", ("b", bytes(600)))]}, 413, "1000 bytes"),
        ({"files": {"file": ("a", b"1")}, "data": {"tempo": "90"}}, 422, "no option 'tempo'"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/recognize", "/v1/restore"])
async def test_bad_requests_say_what_is_wrong(
    http: httpx.AsyncClient, backend: FakeBackend, path: str, more: dict[str, Any], status: int, words: str
) -> None:
    answer = await http.post(path, **more)
    assert answer.status_code == status
    assert words in answer.json()["detail"]
    assert not backend.reader.asked


async def test_nothing_acceptable_is_told_before_the_upload_is_read(
    http: httpx.AsyncClient, backend: FakeBackend
) -> None:
    answer = await http.post("/v1/recognize", files=_pages("a.png"), headers={"Accept": "text/html"})
    assert answer.status_code == 406
    assert not backend.reader.asked


async def test_one_page_is_restored_to_a_picture_and_several_to_a_zip(http: httpx.AsyncClient) -> None:
    one = await http.post("/v1/restore", files=_pages("a.jpg"))
    assert (one.headers["Content-Type"], one.content) == ("image/png", b"a.jpg")
    two = await http.post("/v1/restore", files=_pages("a.jpg", "b.jpg"))
    with zipfile.ZipFile(io.BytesIO(two.content)) as archive:
        assert archive.namelist() == ["a-1.png", "a-2.png"]


async def test_a_full_service_refuses_with_a_time_to_come_back(
    http: httpx.AsyncClient, backend: FakeBackend
) -> None:
    backend.reader.full = True
    for path in ("/v1/recognize", "/v1/restore"):
        answer = await http.post(path, files=_pages("a.png"))
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "5")


async def test_a_request_that_takes_too_long_is_given_up(
    http: httpx.AsyncClient, backend: FakeBackend
) -> None:
    backend.settings = replace(backend.settings, request_timeout_s=1)
    backend.reader.takes_s = 600
    answer = await http.post("/v1/recognize", files=_pages("a.png"))
    assert answer.status_code == 504
    assert "limit of 1 s (COPYIST_REQUEST_TIMEOUT_S)" in answer.json()["detail"]
    assert backend.reader.cancelled


async def test_the_documentation_names_every_path_and_its_schemas(http: httpx.AsyncClient) -> None:
    described = (await http.get("/docs/openapi.json")).json()
    assert {"/v1/recognize", "/v1/restore", "/v1/models", "/readyz"} <= set(described["paths"])
    text = str(described)
    for name in described["components"]["schemas"]:
        assert f"'#/components/schemas/{name}'" in text, name
    assert "Copyist: recognition API" in (await http.get("/docs")).text
