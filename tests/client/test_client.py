"""The Python client, sync and async: what is sent, and what becomes of the answer."""

from __future__ import annotations

import asyncio
import io
import os
import pickle
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from services.client import (
    AsyncCopyist,
    Copyist,
    InputError,
    Key,
    Metre,
    Model,
    Note,
    Progress,
)
from services.client.uploads import MultipartBody, Upload
from tests.client.conftest import QUICK, Transcribe, piped
from tests.client.scripted import Answer, Asked, Scripted, good, problem


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


def test_values_can_be_pickled_and_taken_apart(scripted: Scripted, tone: Path) -> None:
    with Copyist(scripted.url) as copyist:
        heard = copyist.transcribe(tone)
    assert pickle.loads(pickle.dumps(heard)) == heard
    assert asdict(heard)["notes"][0]["pitch"] == 60


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


def test_pipe_is_sent_in_chunks(scripted: Scripted, transcribe: Transcribe) -> None:
    with piped(b"sound") as pipe:
        transcribe(scripted.url, pipe)
    assert scripted.asked[0].headers["Transfer-Encoding"] == "chunked"
    assert scripted.asked[0].parts()["file"] == b"sound"


def test_progress_is_told(scripted: Scripted, transcribe: Transcribe) -> None:
    told: list[Progress] = []
    transcribe(scripted.url, bytes(600_000), on_progress=told.append)
    assert told[0] == Progress(0, 600_000)
    assert told[-1] == Progress(600_000, 600_000)
    assert [step.sent for step in told] == sorted({step.sent for step in told})


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


def test_one_client_serves_many_threads(scripted: Scripted, tone: Path) -> None:
    together = threading.Barrier(4)

    def answer(asked: Asked, count: int) -> Answer:
        together.wait(60)  # none is answered until there are four
        return good()

    scripted.answers = answer
    with Copyist(scripted.url) as copyist, ThreadPoolExecutor(4) as threads:
        heard = list(threads.map(copyist.transcribe, [tone] * 8))
    assert len(heard) == 8
    assert scripted.most_at_once == 4


async def test_async_client_serves_many_at_once(scripted: Scripted, tone: Path) -> None:
    together = threading.Barrier(4)

    def answer(asked: Asked, count: int) -> Answer:
        together.wait(60)
        return good()

    scripted.answers = answer
    async with AsyncCopyist(scripted.url) as copyist:
        heard = await asyncio.gather(*(copyist.transcribe(tone) for _ in range(4)))
    assert len(heard) == 4
    assert scripted.most_at_once == 4


def test_upload_is_never_held_whole(scripted: Scripted, tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    with path.open("wb") as file:
        file.truncate(50_000_000)
    scripted.answers = lambda asked, count: good()
    pieces = []
    tracemalloc.start()
    for piece in MultipartBody([Upload(path)], {}):
        pieces.append(len(piece))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(pieces) > 50_000_000
    assert peak < 2_000_000
