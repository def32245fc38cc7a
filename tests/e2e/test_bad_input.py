"""Bad uploads to the real service: problems that say what is wrong and what to do, soon, and no harm done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from services.local.stack import LocalStack
from tests.recordings import silent_flac, tones, video_only, wav_header, with_ffmpeg, with_soundfile
from tests.waiting import quickest_s, wait_for

pytestmark = pytest.mark.stack

TONES = tones(4, 44_100)


def _with(value: float) -> bytes:
    samples = TONES.copy()
    samples[1000] = value
    return with_soundfile(samples, 44_100, "WAV", "FLOAT")


def _half(content: bytes) -> bytes:
    return content[: len(content) // 2]


#: What is sent, the status, and words that the detail must contain.
BAD_FILES: dict[str, tuple[Callable[[], bytes], int, str]] = {
    "empty file": (lambda: b"", 422, "0 bytes"),
    "text named .mp3": (lambda: b"This is no music.\n" * 50, 422, "plain text"),
    "truncated mp3": (lambda: _half(with_soundfile(TONES, 44_100, "MP3")), 422, "promises 4.0 s"),
    "truncated mp3 without a header": (
        lambda: _half(with_ffmpeg(TONES, 44_100, "mp3", "libmp3lame", write_xing="0")),
        422,
        "breaks off",
    ),
    "truncated wav": (lambda: _half(with_soundfile(TONES, 44_100, "WAV")), 422, "cut short"),
    "truncated m4a": (lambda: _half(with_ffmpeg(TONES, 44_100, "ipod", "aac")), 422, "cut short"),
    "zip bomb of silence": (lambda: silent_flac(7300), 413, "7200 s"),
    "zip bomb of silence without its length": (lambda: silent_flac(7300, stated=False), 413, "7200 s"),
    "zero-length audio": (lambda: wav_header(0), 422, "0 s"),
    "NaN samples": (lambda: _with(np.nan), 422, "not numbers"),
    "infinite samples": (lambda: _with(np.inf), 422, "not numbers"),
    "video without sound": (video_only, 422, "no sound"),
    "playlist of an address": (lambda: b"#EXTM3U\nhttp://127.0.0.1:9/x.mp3\n", 422, "playlist"),
    "random bytes": (lambda: np.random.default_rng(0).bytes(100_000), 422, "recording"),
}
GOOD = with_soundfile(tones(1, 16_000), 16_000, "WAV")


@pytest.fixture(scope="module")
def http(stack: LocalStack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.http_url, timeout=120) as client:
        yield client


def _check_problem(answer: httpx.Response, status: int, words: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["type"].startswith("urn:copyist:problem:")
    assert problem["title"]
    assert words in problem["detail"]
    assert problem["remedy"]
    assert problem["instance"] == answer.headers["X-Request-Id"]


@pytest.mark.parametrize("kind", BAD_FILES)
def test_bad_file(http: httpx.Client, kind: str) -> None:
    make, status, words = BAD_FILES[kind]
    upload = {"file": ("recording.mp3", make())}
    answers: list[httpx.Response] = []
    # Where no header states a length, its packets are counted: two hours have some 80,000.
    limit_s = 5 if "without its length" in kind else 1
    assert quickest_s(lambda: answers.append(http.post("/v1/transcribe", files=upload)), limit_s) < limit_s
    for answer in answers:
        _check_problem(answer, status, words)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"formts": "midi"}, "formts"),
        ({"formats": "midi,docx"}, "docx"),
        ({"instrument": "kazoo"}, "kazoo"),
        ({"tempo": "fast"}, "fast"),
        ({"tempo": "nan"}, "nan"),
        ({"quantise": "1/7"}, "1/7"),
    ],
)
def test_unknown_options(http: httpx.Client, options: dict[str, str], words: str) -> None:
    in_form = http.post("/v1/transcribe", files={"file": GOOD}, data=options)
    in_address = http.post("/v1/transcribe", files={"file": GOOD}, params=options)
    for answer in (in_form, in_address):
        _check_problem(answer, 422, words)


def _zeros(megabytes: int) -> Iterator[bytes]:
    yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    for _ in range(megabytes):
        yield bytes(1 << 20)
    yield b"\r\n--x--\r\n"


@pytest.mark.parametrize("announced", [True, False])
def test_upload_over_the_limit_is_refused_before_it_is_read(http: httpx.Client, announced: bool) -> None:
    body = b"".join(_zeros(200)) if announced else _zeros(200)
    answer = http.post(
        "/v1/transcribe", content=body, headers={"Content-Type": "multipart/form-data; boundary=x"}
    )
    _check_problem(answer, 413, "134217728 bytes")


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"content": b"hello"}, "not multipart/form-data"),
        ({"data": {"file": "http://127.0.0.1:9/a.mp3"}}, "multipart/form-data"),
        ({"files": {"other": b"x"}}, "no file"),
        ({"files": {"file": (None, "http://127.0.0.1:9/a.mp3")}}, "not fetched"),
        ({"files": [("file", b"x"), ("file", b"y")]}, "Too many files"),
        (
            {"content": b"--x\r\nbroken", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
            "form",
        ),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, "boundary"),
    ],
)
def test_bad_forms(http: httpx.Client, request_: dict[str, object], words: str) -> None:
    _check_problem(http.post("/v1/transcribe", **request_), 400, words)  # type: ignore[arg-type]


def test_unknown_address_and_method(http: httpx.Client) -> None:
    _check_problem(http.get("/v1/nothing"), 404, "/v1/nothing")
    refused = http.get("/v1/transcribe")
    _check_problem(refused, 405, "GET")
    assert refused.headers["Allow"] == "POST"


def test_unacceptable_answer_form(http: httpx.Client) -> None:
    answer = http.post("/v1/transcribe", files={"file": GOOD}, headers={"Accept": "text/html"})
    _check_problem(answer, 406, "text/html")


def test_nothing_is_left_behind(stack: LocalStack, http: httpx.Client) -> None:
    """Uploads above a megabyte lie on disk while they are read; afterwards no file and no handle is left."""
    state = stack.state()
    assert state is not None
    before = _open_files(stack)
    for make, _, _ in BAD_FILES.values():
        http.post("/v1/transcribe", files={"file": make()})
    http.post("/v1/transcribe", files={"file": with_soundfile(TONES, 44_100, "WAV", "DOUBLE")})
    wait_for(lambda: _open_files(stack) <= before)


def _open_files(stack: LocalStack) -> set[str]:
    """Regular files under a temporary folder that the stack's processes hold open, deleted ones included."""
    state = stack.state()
    assert state is not None
    held: set[str] = set()
    for program in state.programs.values():
        assert program.process is not None
        for pid in _family(program.process.pid):
            with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
                held |= set(_targets(Path(f"/proc/{pid}/fd")))
    return {each for each in held if each.startswith("/tmp/") and str(stack.options.run_dir) not in each}


def _targets(folder: Path) -> Iterator[str]:
    """What the links in a folder point to."""
    for link in folder.iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            yield str(link.readlink())


def _family(pid: int) -> list[int]:
    parent = psutil.Process(pid)
    return [pid, *(child.pid for child in parent.children(recursive=True))]
