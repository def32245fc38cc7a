"""The client and its command against the real service and a real Triton."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import soundfile

from services.client import AsyncCopyist, Copyist, TooLargeError, UnknownOptionError, UnreadableMediaError
from services.client.vocabulary import FILE_SUFFIX
from services.local.stack import LocalStack
from tests.client.conftest import write_tone
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.stack
ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "services/client/samples/demo.flac"

#: How each file begins, by its format.
BEGINNINGS = {
    "midi": b"MThd",
    "musicxml": b"<?xml",
    "pdf": b"%PDF-",
    "svg": b"<",
    "json": b"{",
    "csv": b"onset_s,",
}


def test_recording_becomes_notation(stack: LocalStack, tmp_path: Path) -> None:
    with Copyist(stack.http_url) as copyist:
        heard = copyist.transcribe(SAMPLE, formats=list(FILE_SUFFIX))
    assert len(heard.notes) > 50
    assert list(heard.notes) == sorted(heard.notes, key=lambda note: (note.onset_s, note.pitch))
    assert heard.model.name == "piano"
    assert heard.key is not None
    assert heard.metre is not None
    assert heard.tempo is not None
    assert {"decode", "model", "notes"} <= heard.timings_s.keys()
    written = heard.save(tmp_path)
    assert [path.name for path in written] == [f"demo{suffix}" for suffix in FILE_SUFFIX.values()]
    for file in heard.files:
        assert file.content.startswith(BEGINNINGS[file.format]), file.format


def test_path_bytes_and_file_give_the_same_notes(stack: LocalStack, tone: Path) -> None:
    with Copyist(stack.http_url) as copyist, tone.open("rb") as file:
        heard = [copyist.transcribe(audio) for audio in (tone, tone.read_bytes(), file)]
    assert heard[0].notes == heard[1].notes == heard[2].notes


async def test_async_client_hears_the_same(stack: LocalStack, tone: Path) -> None:
    with Copyist(stack.http_url) as copyist:
        expected = copyist.transcribe(tone).notes
    async with AsyncCopyist(stack.http_url) as copyist:
        heard = await asyncio.gather(
            *(copyist.transcribe(tone) for _ in range(6))
        )  # more than are done at once
        async with asyncio.timeout(PATIENCE_S):  # a Triton that is held up makes it unready for a moment
            while not (await copyist.readiness()).ready:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert [model.name for model in await copyist.models()] == ["piano"]
    assert all(one.notes == expected for one in heard)


def test_refusals_are_the_services_own(stack: LocalStack, tone: Path) -> None:
    with Copyist(stack.http_url) as copyist:
        with pytest.raises(UnreadableMediaError):
            copyist.transcribe(b"this is no music", name="song.mp3")
        with pytest.raises(UnreadableMediaError, match="empty"):
            copyist.transcribe(b"")
        with pytest.raises(UnknownOptionError, match="midi, musicxml"):
            copyist.transcribe(tone, formats=["mp3"])
        with pytest.raises(UnknownOptionError, match="piano"):
            copyist.transcribe(tone, instrument="kazoo")


def test_upload_over_the_limit_is_told_so_while_it_is_sent(stack: LocalStack, tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    with path.open("wb") as file:
        file.truncate(200 << 20)
    with Copyist(stack.http_url) as copyist, pytest.raises(TooLargeError, match="COPYIST_MAX_UPLOAD_BYTES"):
        copyist.transcribe(path)
    with (
        Copyist(stack.http_url) as copyist,
        subprocess.Popen(["cat", path], stdout=subprocess.PIPE) as cat,
        pytest.raises(TooLargeError, match="COPYIST_MAX_UPLOAD_BYTES"),
    ):
        assert cat.stdout is not None
        copyist.transcribe(cat.stdout)


def test_command_on_good_and_bad_files(stack: LocalStack, tmp_path: Path) -> None:
    write_tone(tmp_path / "in/good one.wav")
    (tmp_path / "in/text.mp3").write_text("this is no music")
    (tmp_path / "in/empty.wav").touch()
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "services.client.cli",
            "transcribe",
            "in",
            "-o",
            "out",
            "--url",
            stack.http_url,
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"good one{suffix}" for suffix in (".mid", ".musicxml", ".pdf")
    ]
    lines = sorted(result.stderr.splitlines())
    assert len(lines) == 2, result.stderr
    assert lines[0].startswith("copyist: in/empty.wav: ")
    assert lines[1].startswith("copyist: in/text.mp3: ")


def snippets() -> list[tuple[str, str]]:
    """The examples of the page for teams: language and text."""
    page = (ROOT / "docs/teams.md").read_text()
    return re.findall(r"^```(bash|python)\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="session")
def music() -> tuple[Any, int]:
    """The sample recording's first eight seconds, and its rate in Hz."""
    rate = soundfile.info(SAMPLE).samplerate
    return soundfile.read(SAMPLE, frames=8 * rate)


@pytest.mark.parametrize(("language", "text"), snippets())
def test_examples_of_the_page_for_teams(
    stack: LocalStack, music: tuple[Any, int], tmp_path: Path, language: str, text: str
) -> None:
    if "curl" in text and not shutil.which("curl"):
        pytest.skip("curl is not installed")
    for name in ("prelude.flac", "waltz.wav", "album/one.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / name, *music)
    shutil.copy(SAMPLE.with_name("demo-page.png"), tmp_path / "sonata.png")
    text = text.replace("http://127.0.0.1:3000", stack.http_url).replace("127.0.0.1:3001", stack.grpc_url)
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "copyist").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m services.client.cli "$@"\n')
    (commands / "copyist").chmod(0o755)
    result = subprocess.run(
        ["bash", "-euc", text] if language == "bash" else [sys.executable, "-W", "error", "-c", text],
        cwd=tmp_path,
        env={
            **os.environ,
            "COPYIST_URL": stack.http_url,
            "COPYIST_OMR_URL": stack.omr_http_url,
            "PYTHONPATH": str(ROOT),
            "PATH": f"{commands}:{os.environ['PATH']}",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    for answer in tmp_path.glob("*.answer.json"):
        assert json.loads(answer.read_text())["notes"]
    for archive in tmp_path.glob("*.zip"):
        assert "prelude.pdf" in zipfile.ZipFile(archive).namelist()
