"""Recordings of every format through the real service and a real Triton."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Iterator

import httpx
import numpy as np
import pytest

from services.local.stack import LocalStack
from tests.recordings import tones, with_ffmpeg, with_soundfile

pytestmark = pytest.mark.stack

SECONDS = 3
MONO = tones(SECONDS, 44_100)
STEREO = np.stack([MONO, 0.5 * MONO], axis=1)

RECORDINGS = {
    "wav 8 bit": with_soundfile(MONO, 44_100, "WAV", "PCM_U8"),
    "wav 16 bit stereo": with_soundfile(STEREO, 44_100, "WAV", "PCM_16"),
    "wav 24 bit": with_soundfile(tones(SECONDS, 96_000), 96_000, "WAV", "PCM_24"),
    "wav 32 bit": with_soundfile(tones(SECONDS, 8_000), 8_000, "WAV", "PCM_32"),
    "wav float": with_soundfile(tones(SECONDS, 11_025), 11_025, "WAV", "FLOAT"),
    "wav of six channels": with_soundfile(np.stack([MONO] * 6, axis=1), 44_100, "WAV", "PCM_16"),
    "flac": with_soundfile(STEREO, 44_100, "FLAC", "PCM_24"),
    "mp3": with_soundfile(STEREO, 44_100, "MP3"),
    "ogg vorbis": with_soundfile(STEREO, 44_100, "OGG", "VORBIS"),
    "ogg opus": with_ffmpeg(tones(SECONDS, 48_000), 48_000, "ogg", "libopus"),
    "m4a": with_ffmpeg(MONO, 44_100, "ipod", "aac"),
    "aac": with_ffmpeg(MONO, 44_100, "adts", "aac"),
}


@pytest.fixture(scope="module")
def http(stack: LocalStack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.http_url, timeout=120) as client:
        yield client


@pytest.mark.parametrize("kind", RECORDINGS)
def test_every_format_is_transcribed(http: httpx.Client, kind: str) -> None:
    answer = http.post("/v1/transcribe", files={"file": RECORDINGS[kind]})
    assert answer.status_code == 200, answer.text
    heard = answer.json()
    assert heard["duration_s"] == pytest.approx(SECONDS, abs=0.1)
    assert heard["model"]["name"] == "piano"
    assert heard["id"] == answer.headers["X-Request-Id"]
    assert set(heard["timings_s"]) == {"decode", "model", "notes", "queue", "notation", "engraving"}
    for note in heard["notes"]:
        assert 0 <= note["onset_s"] < note["offset_s"] <= SECONDS + 0.1
        assert 21 <= note["pitch"] <= 108
        assert 1 <= note["velocity"] <= 127
        assert 0 <= note["confidence"] <= 1


def test_the_files_lie_in_the_json_answer(http: httpx.Client) -> None:
    upload = {"file": ("Für Elise.mp3", RECORDINGS["mp3"])}
    answer = http.post("/v1/transcribe", files=upload, data={"formats": "midi,musicxml,json,csv"})
    files = {file["format"]: file for file in answer.json()["files"]}
    assert [file["name"] for file in files.values()] == [
        "Für Elise.mid",
        "Für Elise.musicxml",
        "Für Elise.json",
        "Für Elise.csv",
    ]
    for file in files.values():
        head, _, encoded = file["href"].partition(",")
        assert head == f"data:{file['media_type'].replace(' ', '')};base64"
        assert len(base64.b64decode(encoded)) == file["size"]
    assert base64.b64decode(files["midi"]["href"].partition(",")[2]).startswith(b"MThd")


def test_the_answer_may_be_a_zip(http: httpx.Client) -> None:
    answer = http.post(
        "/v1/transcribe",
        files={"file": ("prelude.wav", RECORDINGS["wav 16 bit stereo"])},
        data={"formats": "midi,pdf"},
        headers={"Accept": "application/zip"},
    )
    assert answer.headers["Content-Type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist() == ["prelude.mid", "prelude.pdf", "prelude.json"]
        assert archive.read("prelude.pdf").startswith(b"%PDF")
        inside = json.loads(archive.read("prelude.json"))
    assert [file["href"] for file in inside["files"]] == ["prelude.mid", "prelude.pdf"]


def test_silence_has_no_notes_but_an_answer(http: httpx.Client) -> None:
    silence = with_soundfile(np.zeros(16_000, np.float32), 16_000, "WAV")
    answer = http.post("/v1/transcribe", files={"file": silence}, data={"formats": "midi,musicxml"})
    heard = answer.json()
    assert answer.status_code == 200
    if not heard["notes"]:
        assert (heard["key"], heard["metre"], heard["tempo"]) == (None, None, None)
    assert len(heard["files"]) == 2


def test_the_same_recording_gives_the_same_answer(http: httpx.Client) -> None:
    upload = {"file": RECORDINGS["flac"]}
    first, second = (http.post("/v1/transcribe", files=upload).json()["notes"] for _ in range(2))
    assert first == second
