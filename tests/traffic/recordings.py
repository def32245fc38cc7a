"""Recordings as they are sent: ordinary ones, and changed in one way at a time. WAV files, 16 kHz, mono."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from services.amt.contract import SAMPLE_RATE_HZ
from services.amt.decode import FULL_SCALE, decode
from tests.recordings import with_soundfile
from tests.traffic.guitars import guitar

Sound = NDArray[np.float32]

FILES: Final = sorted((Path(__file__).parent / "recordings").glob("*.ogg"))
_PEAK: Final = 0.98


def ordinary() -> list[bytes]:
    """Held-out pianos, as the `piano` model was released for."""
    return [file.read_bytes() for file in FILES]


def without_treble() -> list[bytes]:
    """The same, as from a microphone under a cloth: nothing above 1 kHz."""
    low_pass = signal.butter(6, 1000, "lowpass", fs=SAMPLE_RATE_HZ, output="sos")
    return [_written(signal.sosfilt(low_pass, sound)) for sound in _sounds()]


def over_a_noisy_line() -> list[bytes]:
    """The same, over a telephone's band, with hiss 10 dB below the music."""
    band = signal.butter(4, (300, 3400), "bandpass", fs=SAMPLE_RATE_HZ, output="sos")
    return [
        _written(_with_noise(np.random.default_rng(number), signal.sosfilt(band, sound), 10.0, band))
        for number, sound in enumerate(_sounds())
    ]


def guitars(count: int) -> list[bytes]:
    """Guitars, through as many microphones, in as many rooms, at as many levels as pianos."""
    return [_written(_recorded(np.random.default_rng([5, number]))) for number in range(count)]


def _sounds() -> list[Sound]:
    """The ordinary recordings at the level at which they came."""
    decoded = [decode(io.BytesIO(file), max_audio_s=60) for file in ordinary()]
    return [
        (each.samples / FULL_SCALE / _level(each.samples / FULL_SCALE) * each.rms).astype(np.float32)
        for each in decoded
    ]


def _level(sound: NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(np.square(sound, dtype=np.float64)))) + 1e-9


def _with_noise(random: np.random.Generator, sound: Sound, below_db: float, band: Sound) -> Sound:
    """Add noise of a band, that far below the sound."""
    noise = signal.sosfilt(band, random.normal(0, 1, sound.size))
    return sound + noise / _level(noise) * _level(sound) * 10 ** (-below_db / 20)


def _recorded(random: np.random.Generator) -> Sound:
    """A guitar as somebody recorded it."""
    sound = guitar(random, float(random.uniform(8, 12)))
    spectrum = np.fft.rfft(sound)
    octaves = np.log2(np.maximum(np.fft.rfftfreq(sound.size, 1 / SAMPLE_RATE_HZ), 20))
    knots = np.linspace(octaves.min(), octaves.max(), 7)
    microphone_db = np.interp(octaves, knots, random.normal(0, 4, knots.size))
    sound = np.fft.irfft(spectrum * 10 ** (microphone_db / 20), sound.size)
    everything = signal.butter(1, 20, "highpass", fs=SAMPLE_RATE_HZ, output="sos")
    sound = _with_noise(random, sound, float(random.uniform(12, 50)), everything)
    return sound / _level(sound) * 10 ** (random.normal(-24, 5) / 20)


def _written(sound: Sound) -> bytes:
    loudest = float(np.abs(sound).max())
    return with_soundfile(
        (sound * min(1.0, _PEAK / loudest)).astype(np.float32), SAMPLE_RATE_HZ, "WAV", "PCM_16"
    )
