"""Recordings of every format, whole and damaged, to the samples that the model hears."""

from __future__ import annotations

import io
import socketserver
import struct
import threading
import time
from contextlib import suppress

import numpy as np
import pytest

from services.amt.contract import SAMPLE_RATE_HZ, TARGET_RMS
from services.amt.decode import FULL_SCALE, MAX_GAIN, Recording, decode
from services.errors import TooLargeError, UnreadableMediaError
from tests.recordings import silent_flac, tones, video_only, wav_header, with_ffmpeg, with_soundfile

SECONDS = 2.0


def _tones(rate_hz: int, channels: int = 1) -> np.ndarray:
    mono = tones(SECONDS, rate_hz)
    return mono if channels == 1 else np.stack([mono] * channels, axis=1)


def _decode(content: bytes, max_audio_s: float = 7200) -> Recording:
    return decode(io.BytesIO(content), max_audio_s=max_audio_s)


def _sf(rate_hz: int, channels: int, kind: str, subtype: str | None = None) -> bytes:
    return with_soundfile(_tones(rate_hz, channels), rate_hz, kind, subtype)


def _ff(rate_hz: int, container: str, codec: str, **options: str) -> bytes:
    return with_ffmpeg(_tones(rate_hz), rate_hz, container, codec, **options)


MP3 = _ff(44_100, "mp3", "libmp3lame")
MP3_WITHOUT_HEADER = _ff(44_100, "mp3", "libmp3lame", write_xing="0")
WAV = _sf(44_100, 1, "WAV", "PCM_16")
RAW = (_tones(16_000) * FULL_SCALE).astype("<i2").tobytes()

WHOLE: dict[str, bytes] = {
    "wav u8": _sf(44_100, 1, "WAV", "PCM_U8"),
    "wav 16": WAV,
    "wav 24": _sf(96_000, 2, "WAV", "PCM_24"),
    "wav 32": _sf(8_000, 2, "WAV", "PCM_32"),
    "wav float": _sf(11_025, 2, "WAV", "FLOAT"),
    "wav double": _sf(192_000, 1, "WAV", "DOUBLE"),
    "wav mu-law": _sf(8_000, 1, "WAV", "ULAW"),
    "wav 6 channels": _sf(44_100, 6, "WAV", "PCM_16"),
    "wav 9 channels": _sf(44_100, 9, "WAVEX", "PCM_16"),
    "wav 16 channels": _sf(44_100, 16, "WAV", "PCM_16"),
    "rf64": _sf(44_100, 2, "RF64", "PCM_16"),
    "aiff": _sf(44_100, 2, "AIFF", "PCM_16"),
    "flac": _sf(48_000, 2, "FLAC"),
    "flac 24": _sf(192_000, 1, "FLAC", "PCM_24"),
    "flac 8 channels": _sf(44_100, 8, "FLAC"),
    "ogg vorbis": _sf(44_100, 2, "OGG", "VORBIS"),
    "vorbis 9 channels": _sf(44_100, 9, "OGG", "VORBIS"),
    "ogg opus": _sf(48_000, 2, "OGG", "OPUS"),
    "mp3": _sf(44_100, 2, "MP3"),
    "mp3 8 kHz": _ff(8_000, "mp3", "libmp3lame"),
    "mp3 without Xing header": MP3_WITHOUT_HEADER,
    "m4a": _ff(44_100, "ipod", "aac"),
    "m4a, index first": _ff(44_100, "ipod", "aac", movflags="+faststart"),
    "mp4, fragmented": _ff(44_100, "mp4", "aac", movflags="frag_keyframe+empty_moov"),
    "alac": _ff(44_100, "ipod", "alac"),
    "aac": _ff(44_100, "adts", "aac"),
    "opus": _ff(48_000, "ogg", "libopus"),
    "webm": _ff(48_000, "webm", "libopus"),
    "webm, live": _ff(48_000, "webm", "libopus", live="1"),
}

ODD: dict[str, bytes] = {
    "mp3 with an ID3v1 tag": MP3 + b"TAG" + b"x" * 125,
    "mp3 with an ID3v2 tag": b"ID3\x03\0\0\0\0\x7f\x76" + bytes(127 * 128 + 118) + MP3,
    "mp3 with an APE tag": MP3 + b"APETAGEX" + struct.pack("<4I", 2000, 200, 1, 0xA0000000) + b"y" * 208,
    "mp3 with trailing garbage": MP3 + np.random.default_rng(0).bytes(3000),
    "mp3 with trailing zeros": MP3 + bytes(5000),
    "mp3 with leading zeros": bytes(700) + MP3_WITHOUT_HEADER,
    "wav with a chunk after the sound": WAV + b"LIST" + struct.pack("<I", 10) + b"INFOxxxxxx",
    "wav with trailing zeros": WAV + bytes(3),
    "wav with a length of 0": wav_header(0) + RAW,
    "wav with an unknown length": wav_header(0xFFFFFFFF) + RAW,
    "wav with arecord's unknown length": wav_header(0x80000000) + RAW,
    "flac of unknown length": silent_flac(SECONDS, stated=False),
}


@pytest.mark.parametrize("kind", [*WHOLE, *ODD])
def test_whole_and_odd_files_are_taken(kind: str) -> None:
    recording = _decode((WHOLE | ODD)[kind])
    assert recording.duration_s == pytest.approx(SECONDS, abs=0.08)
    assert recording.samples.dtype == np.int16


@pytest.mark.parametrize("kind", WHOLE)
def test_every_format_sounds_the_same(kind: str) -> None:
    """The tones are those that were written, at the level that the model expects, wherever they lay."""
    recording = _decode(WHOLE[kind])
    heard = recording.samples / FULL_SCALE
    assert np.sqrt(np.mean(heard**2)) == pytest.approx(TARGET_RMS, rel=0.01)
    written = tones(SECONDS, SAMPLE_RATE_HZ)
    spectra = [np.abs(np.fft.rfft(x[: SAMPLE_RATE_HZ // 2])) for x in (heard, written)]
    assert np.corrcoef(*spectra)[0, 1] > (0.6 if "opus" in kind or "webm" in kind else 0.9)


def _cut(content: bytes, share: float = 0.5) -> bytes:
    return content[: int(len(content) * share)]


def _with_value(value: float, subtype: str) -> bytes:
    samples = _tones(44_100)
    samples[5000] = value
    return with_soundfile(samples, 44_100, "WAV", subtype)


def _scratched(content: bytes, every: int, width: int) -> bytes:
    scratched = bytearray(content)
    for start in range(2000, len(content) - 2000, every):
        scratched[start : start + width] = b"\x55" * width
    return bytes(scratched)


BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "0 bytes"),
    "one byte": (b"x", "cannot be read"),
    "text": (b"Not a note.\n" * 100, "plain text"),
    "zeros": (bytes(10_000), "zero bytes"),
    "noise": (np.random.default_rng(1).bytes(50_000), "no recording"),
    "midi": (b"MThd\0\0\0\x06\0\0\0\x01\0`", "MIDI"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(100), "PNG"),
    "NaN": (_with_value(np.nan, "FLOAT"), "not numbers"),
    "infinity": (_with_value(np.inf, "DOUBLE"), "not numbers"),
    "wav without sound": (wav_header(0), "length is 0 s"),
    "ogg without sound": (with_soundfile(_tones(44_100)[:0], 44_100, "OGG", "VORBIS"), "no sound"),
    "video alone": (video_only(), "only pictures or video"),
    "rate too low": (wav_header(40, rate_hz=1) + bytes(40), "1000 to 768000 Hz"),
    "rate absurdly high": (wav_header(len(RAW), rate_hz=11_272_260) + RAW, "768000 Hz"),
    "mp3 half": (_cut(MP3), "promises 2.0 s"),
    "mp3 less its last bytes": (MP3[:-5], "breaks off"),
    "mp3 without header half": (_cut(MP3_WITHOUT_HEADER), "breaks off"),
    "wav half": (_cut(WAV), "cut short"),
    "rf64 half": (_cut(WHOLE["rf64"]), "cut short"),
    "aiff half": (_cut(WHOLE["aiff"]), "cut short"),
    "flac half": (_cut(WHOLE["flac"]), "cut short"),
    "ogg half": (_cut(with_soundfile(tones(8, 44_100), 44_100, "OGG", "VORBIS")), "cut short"),
    "opus half": (_cut(WHOLE["opus"]), "cut short"),
    "m4a half": (_cut(WHOLE["m4a"]), "cut short"),
    "m4a, index first, half": (_cut(WHOLE["m4a, index first"]), "cut short"),
    "aac half": (_cut(WHOLE["aac"], 0.501), "cut short"),
    "webm half": (_cut(WHOLE["webm"]), "cut short"),
    "scratched mp3": (_scratched(MP3, 500, 150), "damaged"),
    "scratched flac": (_scratched(WHOLE["flac"], 2000, 300), "damaged"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_files_are_refused_with_a_reason(kind: str) -> None:
    content, words = BAD[kind]
    with pytest.raises(UnreadableMediaError) as caught:
        _decode(content)
    assert words in caught.value.detail
    assert caught.value.remedy


@pytest.mark.parametrize(
    "reference",
    [
        "#EXTM3U\n#EXTINF:9,\n{url}\n",
        "ffconcat version 1.0\nfile {url}\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{url}\n#EXT-X-ENDLIST\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=audio {port} RTP/AVP 0\n",
        "<MPD><Period><BaseURL>{url}</BaseURL></Period></MPD>",
        "[playlist]\nFile1={url}\n",
    ],
)
def test_an_upload_never_makes_the_decoder_open_an_address(reference: str) -> None:
    calls: list[str] = []

    class Listener(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            calls.append("called")

    with socketserver.TCPServer(("127.0.0.1", 0), Listener) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        port = server.server_address[1]
        content = reference.format(url=f"http://127.0.0.1:{port}/a.mp3", port=port).encode()
        with pytest.raises(UnreadableMediaError):
            _decode(content)
        server.shutdown()
        thread.join()
    assert not calls


@pytest.mark.parametrize("stated", [True, False])
def test_a_bomb_of_silence_stops_at_the_limit(stated: bool) -> None:
    bomb = silent_flac(600, stated=stated)
    assert len(bomb) < 200_000
    with pytest.raises(TooLargeError, match="limit of 60 s"):
        _decode(bomb, max_audio_s=60)


def test_a_bomb_that_states_its_length_costs_nothing() -> None:
    bomb = silent_flac(3600)
    started = time.process_time()
    with pytest.raises(TooLargeError):
        _decode(bomb, max_audio_s=60)
    assert time.process_time() - started < 0.1


def test_a_lying_header_does_not_lift_the_limit() -> None:
    content = bytearray(silent_flac(120))
    content[21] &= 0xF0
    content[22:26] = (48_000).to_bytes(4, "big")
    with pytest.raises(TooLargeError):
        _decode(bytes(content), max_audio_s=60)


def test_the_level_is_that_of_the_whole_recording() -> None:
    soft_then_loud = np.concatenate([0.01 * tones(2, 16_000), tones(2, 16_000)])
    recording = _decode(with_soundfile(soft_then_loud, 16_000, "WAV", "FLOAT"))
    gain = TARGET_RMS / recording.rms
    np.testing.assert_allclose(recording.samples / FULL_SCALE, soft_then_loud * gain, atol=2e-4)


def test_a_peak_is_never_clipped() -> None:
    click = np.zeros(32_000, np.float32)
    click[16_000] = 0.5
    recording = _decode(with_soundfile(click, 16_000, "WAV", "FLOAT"))
    assert np.abs(recording.samples).max() == FULL_SCALE


def test_samples_beyond_full_scale_are_brought_down_and_counted() -> None:
    recording = _decode(with_soundfile(_tones(16_000) * 20, 16_000, "WAV", "FLOAT"))
    heard = recording.samples / FULL_SCALE
    assert np.sqrt(np.mean(heard**2)) == pytest.approx(TARGET_RMS, rel=0.01)
    assert recording.clipped_share > 0.1


def test_silence_stays_silence_and_whispers_stay_soft() -> None:
    silence = _decode(with_soundfile(np.zeros(16_000, np.float32), 16_000, "WAV"))
    assert not silence.samples.any()
    assert silence.rms == 0
    whisper = _decode(with_soundfile(_tones(16_000) * 1e-6, 16_000, "WAV", "DOUBLE"))
    assert np.abs(whisper.samples).max() <= 0.25e-6 * MAX_GAIN * FULL_SCALE + 1


def test_a_few_lost_packets_do_not_shift_what_follows() -> None:
    content = bytearray(with_ffmpeg(tones(30, 44_100), 44_100, "mp3", "libmp3lame", write_xing="0"))
    whole = _decode(bytes(content)).samples
    middle = content.index(b"\xff\xfb", len(content) // 2)
    content[middle + 4 : middle + 36] = b"\xff" * 32
    hurt = _decode(bytes(content)).samples
    assert hurt.size == pytest.approx(whole.size, abs=SAMPLE_RATE_HZ // 100)
    end = slice(-5 * SAMPLE_RATE_HZ, None)
    assert np.corrcoef(whole[end], hurt[end])[0, 1] > 0.99


def test_work_stops_when_the_caller_leaves() -> None:
    asked = 0

    def cancelled() -> bool:
        nonlocal asked
        asked += 1
        return asked > 3

    with pytest.raises(InterruptedError):
        decode(io.BytesIO(silent_flac(60)), max_audio_s=7200, cancelled=cancelled)
    assert asked == 4


def test_damage_anywhere_never_escapes_the_exception_tree() -> None:
    """Whatever bytes are turned over, the decoder takes the file or refuses it by name."""
    random = np.random.default_rng(7)
    for whole in WHOLE.values():
        content = bytearray(whole[:60_000])
        for position in random.integers(0, len(content), 40):
            content[position] = random.integers(256)
        with suppress(UnreadableMediaError, TooLargeError):
            _decode(bytes(content), max_audio_s=100)
