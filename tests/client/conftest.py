"""What the client's tests share: a scripted service, an address where none is, a recording."""

from __future__ import annotations

import math
import socket
import struct
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client.scripted import Scripted, serving


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    """A real HTTP server that answers as the test says."""
    with serving() as server:
        yield server


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
