"""Recordings made for tests: tones written in every format, whole and damaged."""

from __future__ import annotations

import io
import struct
import tempfile
from pathlib import Path

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def tones(seconds: float, rate_hz: int = 44_100, *, pitches: tuple[int, ...] = (60, 64, 67)) -> Floats:
    """Plucked tones, one every half second, float32 [N] within -0.3 to 0.3."""
    time_s = np.arange(int(seconds * rate_hz)) / rate_hz
    index = (time_s / 0.5).astype(int) % len(pitches)
    hertz = 440 * 2 ** ((np.array(pitches)[index] - 69) / 12)
    decay = np.exp(-6 * (time_s % 0.5))
    return (0.25 * decay * np.sin(2 * np.pi * hertz * (time_s % 0.5))).astype(np.float32)


def with_soundfile(samples: Floats, rate_hz: int, kind: str, subtype: str | None = None) -> bytes:
    """Write samples [N] or [N, channels] by libsndfile: wav, flac, ogg, mp3."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, format=kind, subtype=subtype)
    return buffer.getvalue()


def with_ffmpeg(samples: Floats, rate_hz: int, container: str, codec: str, **options: str) -> bytes:
    """Write mono samples [N] by FFmpeg."""
    # A real file: some options make FFmpeg read back what it wrote.
    with tempfile.NamedTemporaryFile() as file:
        _write(file.name, samples, rate_hz, container, codec, options)
        return Path(file.name).read_bytes()


def _write(
    path: str, samples: Floats, rate_hz: int, container: str, codec: str, options: dict[str, str]
) -> None:
    with av.open(path, "w", format=container, options=options) as output:
        stream = output.add_stream(codec, rate=rate_hz, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="fltp", layout="mono")
        frame.sample_rate = rate_hz
        converter = av.AudioResampler(
            stream.codec_context.format, "mono", rate_hz, frame_size=stream.codec_context.frame_size or None
        )
        for part in (*converter.resample(frame), *converter.resample(None)):
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))


def video_only(seconds: float = 0.5) -> bytes:
    """An mp4 with a picture track and no sound."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as output:
        stream = output.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for _ in range(int(seconds * 25)):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return buffer.getvalue()


def wav_header(data_bytes: int, *, rate_hz: int = 16_000, channels: int = 1) -> bytes:
    """The 44 bytes of a plain 16-bit WAVE header that promises `data_bytes`."""
    block = 2 * channels
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate_hz, rate_hz * block, block, 16)
    riff = struct.pack("<4sI4s", b"RIFF", min(36 + data_bytes, 0xFFFFFFFF), b"WAVE")
    return riff + form + struct.pack("<4sI", b"data", data_bytes)


def silent_flac(seconds: float, *, stated: bool = True, rate_hz: int = 48_000) -> bytes:
    """Silence, which flac compresses some thousand times; `stated` keeps its length in the header."""
    content = bytearray(with_soundfile(np.zeros(int(seconds * rate_hz), np.float32), rate_hz, "FLAC"))
    if not stated:
        # STREAMINFO's last 36 bits before the MD5 are the number of samples; 0 stands for unknown.
        content[21] &= 0xF0
        content[22:26] = bytes(4)
    return bytes(content)
