"""What users wrote never becomes a path, a line of a log, a header or markup."""

from __future__ import annotations

import json
import logging
import time
import zipfile
from collections.abc import AsyncIterator
from io import BytesIO

import httpx
import pytest
from lxml import etree
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, Router
from starlette.types import Receive, Send
from starlette.types import Scope as Connection

from services.errors import InputError
from services.music.engraving import engrave
from services.music.musicxml import write_musicxml
from services.music.notate import NotationOptions, notate
from services.runtime import forms, logs, options, problems
from services.runtime.answers import AnswerFile, stem_of, zipped
from services.runtime.door.gate import Gate
from services.runtime.door.principal import Scope
from services.runtime.http import Edge
from services.runtime.jobs.downloads import disposition
from services.runtime.settings import Settings
from services.runtime.text import printable, shortened
from tests.music.examples import waltz

NASTY = {
    "line ends": "waltz\r\nSet-Cookie: a=b\r\n\r\n<h1>x</h1>",
    "terminal": "waltz\x1b[2J\x1b]0;title\x07\x9b31m",
    "path": "../../../etc/passwd",
    "windows path": "..\\..\\C:\\windows\\system32",
    "absolute": "/etc/cron.d/waltz",
    "nul": "waltz\0.sh",
    "right to left": "waltz\u202egnp.exe",
    "invisible": "wal\u200b\u2028\u2029tz\ufeff",
    "markup": '"><script>alert(1)</script><svg onload=alert(1)>&amp;',
    "shell": "$(touch /tmp/owned) `id`; rm -rf / | x & y",
    "percent": "%2e%2e%2f%0d%0a%00",
    "format": "{0.__class__} %s %(x)s ${x}",
    "long": "w" * 10_000,
    "surrogate": "waltz\ud800",
    "only dots": "....",
    "blank": "   ",
    "device": "CON",
    "quotes": "a\"b'c\\d;e=f",
}

KIND = forms.UploadKind("recording", "waltz.wav", max_files=1, when_too_large="Compress it.")


@pytest.mark.parametrize("name", NASTY.values(), ids=NASTY.keys())
def test_no_name_becomes_a_path_or_a_header(name: str) -> None:
    stem = stem_of(f"{name}.flac", "recording")
    assert 0 < len(stem) <= 100
    assert stem.isprintable()
    assert not set(stem) & set("/\\\0\r\n")
    assert stem.strip(" .") == stem
    header = disposition(f"{stem}.mid")
    assert header.isascii()
    assert header.isprintable()
    archive = zipfile.ZipFile(BytesIO(zipped([AnswerFile(f"{stem}.mid", "midi", "audio/midi", b"x")])))
    (entry,) = archive.namelist()
    assert entry == f"{stem}.mid"
    assert not entry.startswith(("/", "."))


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY.keys())
def test_no_text_breaks_out_of_a_problem(text: str) -> None:
    for error in (
        problems.from_http_status(404, "GET", text),
        problems.from_http_status(405, text, text),
        InputError(f"It is {text}.", remedy="Try another."),
    ):
        document = problems.document(error, "id")
        assert document["detail"].isprintable()
        assert len(document["detail"]) <= 600
        body = bytes(problems.response(error, "id").body)
        assert json.loads(body) == document
        assert b"\n" not in body


def _logged(text: str) -> logging.LogRecord:
    return logging.LogRecord("copyist", logging.WARNING, "x", 1, "what came: %s", (text,), None)


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY.keys())
def test_no_text_makes_a_line_of_its_own_in_a_log(text: str) -> None:
    with logs.bind(owner=text, request_id=text):
        plain = logs.TextLines("amt").format(_logged(text))
        line = logs.JsonLines("amt").format(_logged(text))
    assert plain.isprintable()
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["message"].endswith(text)


def test_text_is_shown_as_it_is_where_it_can_be() -> None:
    assert printable("Dvořák: Waltz № 1 (“Žal”)") == "Dvořák: Waltz № 1 (“Žal”)"
    assert printable("a\nb\x1b\u202e\ud800") == "a\\nb\\x1b\\u202e\\ud800"
    assert shortened("x" * 600, 600) == "x" * 600
    assert len(shortened("x" * 601, 600)) <= 600


async def _options(request: Request) -> Response:
    form = await forms.read_form(request, KIND, max_upload_bytes=1 << 20)
    await form.close()
    texts = options.given(forms.texts(request, form, KIND), ("tempo",))
    options.one_of("tempo", texts.get("tempo", ""), ("fast", "slow"))
    return PlainTextResponse("taken")


async def _wrapped(connection: Connection, receive: Receive, send: Send) -> None:
    raise AssertionError("what lies behind the edge answers no request")


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    router = Router([Route("/options", _options, methods=["POST"])])
    edge = Edge(_wrapped, router=router, service="test", gate=Gate(Settings(), Scope.AMT))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(edge), base_url="http://test") as client:
        yield client


def _form(name: bytes, value: bytes) -> bytes:
    part = b'--b\r\nContent-Disposition: form-data; name="' + name + b'"\r\n\r\n' + value + b"\r\n"
    return part + b"--b--\r\n"


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY.keys())
async def test_options_are_refused_in_print(client: httpx.AsyncClient, text: str) -> None:
    value = text.encode("utf-8", "surrogatepass")
    name = value.replace(b'"', b"").replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b"") or b"x"
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    for body in (_form(b"tempo", value), _form(name, b"x")):
        answer = await client.post("/options", content=body, headers=headers)
        assert answer.status_code in (400, 422)
        assert answer.headers["Content-Type"] == "application/problem+json"
        problem = answer.json()
        assert problem["detail"].isprintable()
        assert len(answer.content) < 4000


@pytest.mark.parametrize(
    "charset", ["unicode_escape", "utf-7", "punycode", "idna", "zlib", "rot13", "latin-1"]
)
async def test_forms_are_utf_8(client: httpx.AsyncClient, charset: str) -> None:
    headers = {"Content-Type": f"multipart/form-data; charset={charset}; boundary=b"}
    started_s = time.process_time()  # what such texts can cost is computing
    answer = await client.post("/options", content=_form(b"tempo", b"\\ud800" * 10_000), headers=headers)
    assert time.process_time() - started_s < 1
    assert answer.status_code == 400
    assert "UTF-8" in answer.json()["detail"]
    headers = {"Content-Type": "multipart/form-data; charset=UTF-8; boundary=b"}
    assert (await client.post("/options", content=_form(b"tempo", b"fast"), headers=headers)).text == "taken"


@pytest.mark.parametrize(
    "content_type",
    ["text/html\x7f<script>", "multipart/form-data", "x" * 8000, "multipart/form-data; boundary="],
)
async def test_odd_content_types_are_refused_in_print(client: httpx.AsyncClient, content_type: str) -> None:
    answer = await client.post("/options", content=b"x", headers={"Content-Type": content_type})
    assert answer.status_code == 400
    assert answer.json()["detail"].isprintable()
    assert len(answer.content) < 2000


async def test_made_up_methods_are_named_in_no_log(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "copyist.requests"):
        answer = await client.request("BREW" * 1000, "/options")
    assert answer.status_code == 405
    assert "BREW" not in caplog.text
    assert "_OTHER /options 405" in caplog.text


@pytest.mark.parametrize("name", ["markup", "shell", "long", "quotes"])
def test_titles_are_text_in_scores(name: str) -> None:
    # Ended by a letter, so that the markup is no suffix to be cut off.
    title = stem_of(f"{NASTY[name]} a.flac".replace("/", "|"), "recording")
    assert "<script" in title or name != "markup"
    score = notate(waltz(2), NotationOptions(title=title))
    document = write_musicxml(score)
    assert etree.fromstring(document).findtext("work/work-title") == title
    drawing = etree.fromstring(engrave(document, pdf=False).svg)
    tags = {str(element.tag).rpartition("}")[2] for element in drawing.iter(etree.Element)}
    assert tags.isdisjoint({"script", "foreignObject", "iframe", "a", "image"})
    attributes = {str(name).lower() for element in drawing.iter() for name in element.attrib}
    assert not any(name.startswith("on") for name in attributes)
    shown = "".join(map(str, drawing.itertext()))
    assert title[:20].split()[0] in shown
