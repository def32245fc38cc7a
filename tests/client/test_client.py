"""The Python client against a real HTTP server: results, errors, retries, uploads; sync and async."""

from __future__ import annotations

import asyncio
import io
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.client import (
    AsyncCopyist,
    BadAnswerError,
    Copyist,
    Key,
    Metre,
    Model,
    Note,
    Progress,
    RetryPolicy,
    Transcription,
    UnreachableError,
)
from services.client.exchange import LONGEST_ANSWER_S, answer_s
from services.errors import (
    CopyistError,
    InputError,
    ModelUnavailableError,
    OverloadedError,
    TooLargeError,
    UnknownOptionError,
    UnreadableMediaError,
)
from tests.client.scripted import TRANSCRIPTION, Answer, Scripted, good, problem

QUICK = RetryPolicy(attempts=4, base_s=0.01)
Transcribe = Callable[..., Transcription]


@pytest.fixture(params=["sync", "async"])
def transcribe(request: pytest.FixtureRequest) -> Transcribe:
    """Either client's `transcribe`, called alike: `transcribe(url, audio, **options)`."""

    def plainly(
        url: str, audio: Any, *, retry: RetryPolicy = QUICK, timeout_s: float | None = None, **options: Any
    ):
        with Copyist(url, retry=retry, timeout_s=timeout_s) as copyist:
            return copyist.transcribe(audio, **options)

    async def awaited(
        url: str, audio: Any, *, retry: RetryPolicy = QUICK, timeout_s: float | None = None, **options: Any
    ):
        async with AsyncCopyist(url, retry=retry, timeout_s=timeout_s) as copyist:
            return await copyist.transcribe(audio, **options)

    if request.param == "sync":
        return plainly
    return lambda *args, **options: asyncio.run(awaited(*args, **options))


def test_answer_becomes_typed_values(scripted: Scripted, transcribe: Transcribe, tone: Path) -> None:
    heard = transcribe(scripted.url, tone)
    assert heard.id == "r-1"
    assert heard.model == Model("piano", "1")
    assert heard.notes == (Note(0.5, 1.0, 60, 64, 0.9), Note(1.0, 1.5, 67, 80, 0.8))
    assert heard.key == Key(-3, "major", "E-flat major", 0.7)
    assert heard.metre == Metre(3, 4, 0.6)
    assert str(heard.metre) == "3/4"
    assert heard.tempo is not None
    assert heard.tempo.beats_s == (0.5, 1.0, 1.5)
    assert heard.timings_s == {"decode": 0.01, "model": 0.2}
    assert heard.file("midi").content == b"MThd"
    with pytest.raises(InputError, match="holds no pdf file"):
        heard.file("pdf")


def test_silence_has_no_key_metre_or_tempo(scripted: Scripted, transcribe: Transcribe, tone: Path) -> None:
    scripted.in_turn(good(notes=[], key=None, metre=None, tempo=None))
    heard = transcribe(scripted.url, tone)
    assert (heard.notes, heard.key, heard.metre, heard.tempo) == ((), None, None, None)


def test_form_carries_the_file_and_the_options(
    scripted: Scripted, transcribe: Transcribe, tone: Path
) -> None:
    transcribe(scripted.url, tone, formats=["midi", "pdf"], tempo=96.5, quantise="1/8t")
    (asked,) = scripted.asked
    parts = asked.parts()
    assert parts.pop("file") == tone.read_bytes()
    assert parts == {"instrument": b"piano", "formats": b"midi,pdf", "tempo": b"96.5", "quantise": b"1/8t"}
    assert asked.path == "/v1/transcribe"
    assert int(asked.headers["Content-Length"]) == len(asked.body)


def test_formats_may_be_one_string(scripted: Scripted, transcribe: Transcribe, tone: Path) -> None:
    transcribe(scripted.url, tone, formats="midi,pdf")
    assert scripted.asked[0].parts()["formats"] == b"midi,pdf"


@pytest.mark.parametrize("name", ['a "quoted" name.wav', "ノクターン.flac", "line\r\nbreak.wav"])
def test_any_file_name_reaches_the_service_in_one_piece(
    scripted: Scripted, transcribe: Transcribe, name: str
) -> None:
    transcribe(scripted.url, b"sound", name=name)
    body = scripted.asked[0].body
    escaped = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    assert f'filename="{escaped}"\r\n'.encode() in body
    assert scripted.asked[0].parts()["file"] == b"sound"


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview, io.BytesIO])
def test_audio_in_memory(scripted: Scripted, transcribe: Transcribe, wrap: Any) -> None:
    sound = os.urandom(700_000)
    transcribe(scripted.url, wrap(sound))
    assert scripted.asked[0].parts()["file"] == sound


def test_file_is_sent_from_where_it_stands_also_again(
    scripted: Scripted, transcribe: Transcribe, tmp_path: Path
) -> None:
    path = tmp_path / "tail.wav"
    path.write_bytes(b"headsound")
    scripted.in_turn(problem(503, "model-unavailable"), good())
    with path.open("rb") as file:
        file.seek(4)
        transcribe(scripted.url, file)
    assert [asked.parts()["file"] for asked in scripted.asked] == [b"sound", b"sound"]


def piped(content: bytes) -> io.BufferedReader:
    """A file that can be read once only."""
    reading, writing = os.pipe()
    threading.Thread(target=lambda: (os.write(writing, content), os.close(writing))).start()
    return os.fdopen(reading, "rb")


def test_pipe_is_sent_in_chunks(scripted: Scripted, transcribe: Transcribe) -> None:
    with piped(b"sound") as pipe:
        transcribe(scripted.url, pipe)
    assert scripted.asked[0].headers["Transfer-Encoding"] == "chunked"
    assert scripted.asked[0].parts()["file"] == b"sound"


def test_pipe_cannot_be_sent_again(scripted: Scripted, transcribe: Transcribe) -> None:
    scripted.in_turn(problem(503, "model-unavailable"), good())
    with piped(b"sound") as pipe, pytest.raises(ModelUnavailableError):
        transcribe(scripted.url, pipe)
    assert len(scripted.asked) == 1


def test_progress_is_told(scripted: Scripted, transcribe: Transcribe) -> None:
    told: list[Progress] = []
    transcribe(scripted.url, bytes(600_000), on_progress=told.append)
    assert told[0] == Progress(0, 600_000)
    assert told[-1] == Progress(600_000, 600_000)
    assert [step.sent for step in told] == sorted({step.sent for step in told})


@pytest.mark.parametrize(
    ("status", "slug", "kind"),
    [
        (400, "bad-request", InputError),
        (413, "too-large", TooLargeError),
        (422, "unknown-option", UnknownOptionError),
        (422, "unreadable-media", UnreadableMediaError),
        (500, "internal-error", CopyistError),
    ],
)
def test_problem_becomes_the_services_own_exception(
    scripted: Scripted, transcribe: Transcribe, tone: Path, status: int, slug: str, kind: type[CopyistError]
) -> None:
    scripted.in_turn(problem(status, slug, "The limit is 128 MiB."))
    with pytest.raises(CopyistError) as caught:
        transcribe(scripted.url, tone)
    assert type(caught.value) is kind
    assert caught.value.detail == "The limit is 128 MiB."
    assert caught.value.remedy.startswith("Do otherwise.")
    assert ("r-7" in caught.value.remedy) == (status >= 500)  # the id is of use to whoever has the log
    assert len(scripted.asked) == 1


@pytest.mark.parametrize(("status", "kind"), [(409, InputError), (429, OverloadedError), (507, CopyistError)])
def test_unknown_problem_is_classed_by_its_status(
    scripted: Scripted, transcribe: Transcribe, tone: Path, status: int, kind: type[CopyistError]
) -> None:
    scripted.in_turn(problem(status, "invented-tomorrow"))
    with pytest.raises(CopyistError) as caught:
        transcribe(scripted.url, tone, retry=RetryPolicy(attempts=1, busy_s=0))
    assert type(caught.value) is kind
    assert caught.value.status == status


@pytest.mark.parametrize(("status", "slug"), [(429, "overloaded"), (503, "model-unavailable")])
def test_refusal_is_retried_after_as_long_as_asked(
    scripted: Scripted, transcribe: Transcribe, tone: Path, status: int, slug: str
) -> None:
    scripted.in_turn(problem(status, slug, Retry_After="1"), good())
    started = time.monotonic()
    assert transcribe(scripted.url, tone).id == "r-1"
    assert 1.0 <= time.monotonic() - started < 3.0
    assert len(scripted.asked) == 2
    assert scripted.asked[0].parts() == scripted.asked[1].parts()


@pytest.mark.parametrize("failure", [problem(503, "model-unavailable"), Answer(hang_up=True)])
def test_retries_end(scripted: Scripted, transcribe: Transcribe, tone: Path, failure: Answer) -> None:
    scripted.in_turn(failure)
    with pytest.raises((ModelUnavailableError, UnreachableError)):
        transcribe(scripted.url, tone)
    assert len(scripted.asked) == QUICK.attempts


def test_busy_service_is_asked_for_as_long_as_allowed(
    scripted: Scripted, transcribe: Transcribe, tone: Path
) -> None:
    busy = [problem(429, "overloaded")] * 6
    scripted.in_turn(*busy, good())
    assert transcribe(scripted.url, tone, retry=RetryPolicy(attempts=1, base_s=0.01, busy_s=10)).id == "r-1"
    scripted.asked.clear()
    with pytest.raises(OverloadedError):
        transcribe(scripted.url, tone, retry=RetryPolicy(base_s=0.1, busy_s=0.25))
    assert 2 <= len(scripted.asked) <= 4  # waits of 0.05 to 0.1, then 0.1 to 0.2 s, then twice that


def test_too_long_a_wait_is_left_to_the_caller(
    scripted: Scripted, transcribe: Transcribe, tone: Path
) -> None:
    scripted.in_turn(problem(503, "model-unavailable", Retry_After="3600"))
    with pytest.raises(ModelUnavailableError) as caught:
        transcribe(scripted.url, tone)
    assert caught.value.retry_after_s == 3600
    assert len(scripted.asked) == 1


def test_wrong_request_is_not_repeated(scripted: Scripted, transcribe: Transcribe, tone: Path) -> None:
    scripted.in_turn(problem(422, "unreadable-media"), good())
    with pytest.raises(UnreadableMediaError):
        transcribe(scripted.url, tone)
    assert len(scripted.asked) == 1


def test_broken_connection_is_retried(scripted: Scripted, transcribe: Transcribe, tone: Path) -> None:
    scripted.in_turn(Answer(hang_up=True), good())
    assert transcribe(scripted.url, tone).id == "r-1"
    assert len(scripted.asked) == 2


def test_cut_off_answer(scripted: Scripted, transcribe: Transcribe, tone: Path) -> None:
    whole = json.dumps(TRANSCRIPTION).encode()
    scripted.in_turn(Answer(body=whole[:200], announced=len(whole)))
    with pytest.raises(UnreachableError, match="broke before the answer was whole"):
        transcribe(scripted.url, tone)
    assert len(scripted.asked) == QUICK.attempts


def test_no_service_is_one_clear_message(nobody: str, transcribe: Transcribe, tone: Path) -> None:
    with pytest.raises(UnreachableError, match=f"Nothing answers at {nobody}") as caught:
        transcribe(nobody, tone)
    assert "make up" in caught.value.remedy


def test_slow_answer_ends_in_time(scripted: Scripted, transcribe: Transcribe, tone: Path) -> None:
    scripted.in_turn(Answer(delay_s=1.5))
    started = time.monotonic()
    with pytest.raises(UnreachableError, match="no answer within"):
        transcribe(scripted.url, tone, timeout_s=0.3)
    assert time.monotonic() - started < 1.2  # the wait is not repeated: the work would start anew
    assert len(scripted.asked) == 1


@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=b'{"id": "r-1", "notes": ['),
        Answer(body=b"[]"),
        Answer(body=b"{}"),
        Answer(body=b"<html>It works!</html>", content_type="text/html"),
        Answer(404, b"<html>Not Found</html>", content_type="text/html"),
        Answer(302, headers={"Location": "/elsewhere"}),
        Answer(502, b"Bad Gateway", content_type="text/plain"),
        good(notes=[{"pitch": 60}]),
        good(files=[{"name": "x.mid", "format": "midi", "media_type": "audio/midi", "href": "http://x/"}]),
        good(
            files=[{"name": "x.mid", "format": "midi", "media_type": "audio/midi", "href": "data:;base64,A"}]
        ),
    ],
)
def test_nonsense_is_told_as_such(
    scripted: Scripted, transcribe: Transcribe, tone: Path, answer: Answer
) -> None:
    scripted.in_turn(answer)
    with pytest.raises(BadAnswerError) as caught:
        transcribe(scripted.url, tone)
    assert caught.value.remedy


def test_missing_file_is_told_before_anything_is_sent(
    scripted: Scripted, transcribe: Transcribe, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError):
        transcribe(scripted.url, tmp_path / "none.wav")
    assert not scripted.asked


@pytest.mark.parametrize("url", ["localhost:3000", "ftp://host", "http://", "nonsense"])
def test_address_without_scheme_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="no address of a service"):
        Copyist(url)


def test_address_comes_from_the_environment(
    scripted: Scripted, tone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COPYIST_URL", f"{scripted.url}/")
    with Copyist() as copyist:
        assert copyist.transcribe(tone).id == "r-1"
    assert scripted.asked[0].path == "/v1/transcribe"


def test_address_may_have_a_path(scripted: Scripted, tone: Path) -> None:
    with Copyist(f"{scripted.url}/copyist/") as copyist:
        copyist.transcribe(tone)
    assert scripted.asked[0].path == "/copyist/v1/transcribe"


def test_proxy_of_the_environment_is_not_asked_for_this_machine(
    scripted: Scripted, nobody: str, tone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", nobody)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with Copyist(scripted.url, retry=QUICK) as copyist:
        assert copyist.transcribe(tone).id == "r-1"


async def test_async_client_serves_many_at_once(scripted: Scripted, tone: Path) -> None:
    scripted.answers = lambda asked, count: Answer(body=json.dumps(TRANSCRIPTION).encode(), delay_s=0.3)
    async with AsyncCopyist(scripted.url) as copyist:
        heard = await asyncio.gather(*(copyist.transcribe(tone) for _ in range(4)))
    assert len(heard) == 4
    assert scripted.most_at_once == 4


def test_upload_is_never_held_whole(scripted: Scripted, tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / "long.wav"
    with path.open("wb") as file:
        file.truncate(50_000_000)
    scripted.answers = lambda asked, count: good()
    pieces = []
    from services.client.uploads import MultipartBody, Upload

    tracemalloc.start()
    for piece in MultipartBody(Upload(path), {}):
        pieces.append(len(piece))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(pieces) > 50_000_000
    assert peak < 2_000_000


def test_wait_for_the_answer_grows_with_the_upload() -> None:
    assert answer_s(0) < answer_s(10_000_000) < answer_s(100_000_000)
    assert answer_s(None) == answer_s(10**12) == LONGEST_ANSWER_S
