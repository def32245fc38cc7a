"""What the client's tests share: a scripted service, an address where none is, a recording."""

from __future__ import annotations

import asyncio
import io
import math
import os
import socket
import struct
import threading
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from services.client import AsyncCopyist, Copyist, RetryPolicy, Transcription
from tests.client.command import as_asked
from tests.client.scripted import Scripted, serving

QUICK = RetryPolicy(attempts=4, base_s=0.01)
Transcribe = Callable[..., Transcription]


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    """A real HTTP server that answers as the test says."""
    with serving() as server:
        yield server


@pytest.fixture
def service(scripted: Scripted) -> Scripted:
    """A scripted service that gives the files asked for, and refuses what is called bad."""
    scripted.answers = as_asked
    return scripted


@pytest.fixture
def nobody() -> str:
    """An address of this machine at which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    """A recording: two seconds of middle C, mono, 16 kHz."""
    return write_tone(tmp_path / "tone.wav")


def write_tone(path: Path, seconds: float = 2.0) -> Path:
    """Write a decaying middle C with a few harmonics as a wav file."""
    rate = 16_000
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        for index in range(int(seconds * rate)):
            t = index / rate
            value = sum(math.sin(2 * math.pi * 261.63 * k * t) / k**2 for k in range(1, 6))
            file.writeframesraw(struct.pack("<h", int(9000 * value * math.exp(-2.5 * t))))
    return path


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


def piped(content: bytes) -> io.BufferedReader:
    """A file that can be read once only."""
    reading, writing = os.pipe()
    threading.Thread(target=lambda: (os.write(writing, content), os.close(writing))).start()
    return os.fdopen(reading, "rb")
