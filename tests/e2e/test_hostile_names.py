"""Uploads with nasty names to the real services: no name becomes a path, markup or a line of a log."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton
from lxml import etree
from tritonclient.utils import InferenceServerException

from services.local.stack import LocalStack
from services.triton.environment import REPOSITORY_ROOT
from tests.recordings import tones, with_soundfile
from tests.runtime.door.test_hostile_text import NASTY

pytestmark = pytest.mark.stack

RECORDING = with_soundfile(tones(2, 44_100), 44_100, "FLAC")
PAGE = REPOSITORY_ROOT / "services/client/samples/demo-page.png"
MARK = "zqxjk"
FORMATS = "midi,musicxml,svg,json"


def _body(name: str, content: bytes = RECORDING, formats: str = FORMATS) -> bytes:
    """A form whose file has this very name: clients would escape it."""
    quoted = name.encode("utf-8", "surrogatepass").replace(b'"', b"%22").replace(b"\r\n", b"%0D%0A")
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="' + quoted + b'"\r\n'
    more = f'\r\n--b\r\nContent-Disposition: form-data; name="formats"\r\n\r\n{formats}\r\n--b--\r\n'
    return head + b"\r\n" + content + more.encode()


#: A much longer name is refused with its form.
NAMES = {**NASTY, "long": NASTY["long"][:2000]}


@pytest.mark.parametrize(
    "name", ["terminal", "path", "right to left", "markup", "shell", "long", "surrogate"]
)
def test_names_of_uploads_are_harmless(stack: LocalStack, name: str) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b", "Accept": "application/zip"}
    url = f"{stack.http_url}/v1/transcribe"
    answer = httpx.post(url, content=_body(f"{MARK}{NAMES[name]}.flac"), headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text
    _check_zip(answer.content, 5)


def _check_zip(content: bytes, files: int) -> None:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        assert len(names) == files
        for entry in names:
            assert entry.isprintable()
            assert not set(entry) & set("/\\")
            assert len(entry) < 130
        for suffix in (".musicxml", ".svg"):
            (file,) = (entry for entry in names if entry.endswith(suffix))
            root = etree.fromstring(archive.read(file))
            tags = {str(element.tag).rpartition("}")[2] for element in root.iter(etree.Element)}
            assert tags.isdisjoint({"script", "foreignObject", "iframe"})


@pytest.mark.parametrize("name", ["path", "markup"])
def test_names_of_pages_are_harmless(stack: LocalStack, name: str) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b", "Accept": "application/zip"}
    body = _body(f"{MARK}{NAMES[name]}.png", PAGE.read_bytes(), "musicxml,svg,overlay")
    answer = httpx.post(f"{stack.omr_http_url}/v1/recognize", content=body, headers=headers, timeout=120)
    assert answer.status_code == 200, answer.text
    _check_zip(answer.content, 4)


def test_a_name_of_ten_thousand_letters_is_refused(stack: LocalStack) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    body = _body(f"{MARK}{NASTY['long']}.flac")
    answer = httpx.post(f"{stack.http_url}/v1/transcribe", content=body, headers=headers, timeout=60)
    assert answer.status_code == 400
    assert "The form cannot be read" in answer.json()["detail"]


def test_texts_over_grpc_are_harmless(stack: LocalStack) -> None:
    with triton.InferenceServerClient(stack.grpc_url) as client:
        file = triton.InferInput("file", [1], "BYTES")
        file.set_data_from_numpy(np.array([RECORDING], object))
        for name, text in NASTY.items():
            if name in ("surrogate", "blank"):
                continue  # the one is no text to gRPC, the other counts as absent
            for parameters in ({"quantise": f"{MARK}{text}"}, {f"{MARK}{text}": "x"}):
                with pytest.raises(InferenceServerException) as caught:
                    client.infer("amt", [file], parameters=parameters, request_id=text.replace("\0", ""))
                assert caught.value.status() == "StatusCode.INVALID_ARGUMENT", name
                assert str(caught.value.message()).isprintable()
                assert len(str(caught.value.message())) < 2000
            with pytest.raises(InferenceServerException) as caught:
                client.infer(f"{MARK}{text}", [file])
            assert caught.value.status() == "StatusCode.NOT_FOUND"


def test_jobs_files_have_harmless_names(stack: LocalStack) -> None:
    for name in ("path", "markup", "right to left"):
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        body = _body(f"{MARK}{NASTY[name]}.flac")
        job = httpx.post(f"{stack.http_url}/v1/jobs", content=body, headers=headers, timeout=60).json()
        with httpx.stream("GET", f"{stack.http_url}/v1/jobs/{job['id']}/events", timeout=120) as events:
            last = "".join(line for line in events.iter_lines() if line.startswith("event:"))
        assert last
        done = httpx.get(f"{stack.http_url}/v1/jobs/{job['id']}", timeout=60).json()
        assert done["state"] == "completed", done
        for file in done["files"]:
            assert file["name"].isprintable()
            assert not set(file["name"]) & set("/\\")
            answer = httpx.get(f"{stack.http_url}{file['href']}", timeout=60)
            assert answer.status_code == 200
            assert answer.headers["Content-Disposition"].isprintable()
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_nothing_of_the_names_is_in_a_log_or_a_folder(stack: LocalStack) -> None:
    """After the tests above: files are called by ids, and logs tell nothing of what came."""
    folder = Path(stack.options.run_dir)
    for log in folder.glob("*.log"):
        text = log.read_text(errors="replace")
        assert MARK not in text, log
        assert "\x1b[2J" not in text
    assert not [file for file in folder.rglob("*") if MARK in str(file)]
