"""What rooms, microphones and codecs do to a recording, drawn at random for every training clip.

Filters, reverb, compression, distortion and codecs are pedalboard's; rooms as random impulse
responses, microphones as random smooth responses, and noise are made here. Nothing in here may
move sound in time, for the truth of the notes would no longer hold: `tests/pipelines` checks it.
"""

from __future__ import annotations

import numpy as np
import pedalboard
from scipy.fft import irfft, next_fast_len, rfft

from services.amt.contract import SAMPLE_RATE_HZ, TARGET_RMS

LONGEST_ROOM_S = 1.5


def damage(random: np.random.Generator, sound: np.ndarray) -> np.ndarray:
    """A damaged copy of `sound` (float32, 16 kHz, any level), as long as it is, at unit level.

    Each kind of damage happens with a probability of its own, so that some clips stay clean.
    """
    sound = sound / (np.sqrt(np.mean(sound**2)) + 1e-4)
    sound = _respond(random, sound)
    sound = sound / (np.sqrt(np.mean(sound**2)) + 1e-4)
    chain = _effects(random)
    if chain:
        board = pedalboard.Pedalboard(chain)
        sound = board(sound * TARGET_RMS, SAMPLE_RATE_HZ) / TARGET_RMS
    sound = _add_noise(random, sound)
    if random.random() < 0.08:
        codec = pedalboard.MP3Compressor(vbr_quality=float(random.uniform(3.0, 9.5)))
        sound = codec((sound * TARGET_RMS).astype(np.float32), SAMPLE_RATE_HZ) / TARGET_RMS
    return sound.astype(np.float32)


def _respond(random: np.random.Generator, sound: np.ndarray) -> np.ndarray:
    """Microphone, distance and room as one linear response, applied by one pair of transforms."""
    length = next_fast_len(len(sound) + int(LONGEST_ROOM_S * SAMPLE_RATE_HZ), real=True)
    hz = np.arange(length // 2 + 1) * SAMPLE_RATE_HZ / length
    octave = np.log2(np.maximum(hz, 20.0))
    response = np.ones(len(hz), np.complex64)
    if random.random() < 0.8:
        knots = np.linspace(np.log2(20), 13, int(random.integers(4, 11)))
        gains_db = random.normal(0, random.uniform(1, 6), len(knots))
        gains_db += random.normal(0, 1.5) * (knots - 9)
        response *= 10 ** (np.interp(octave, knots, gains_db) / 20).astype(np.float32)
    if random.random() < 0.3:
        for _ in range(int(random.integers(2, 14))):
            centre, width = random.uniform(6, 12.5), random.uniform(0.02, 0.15)
            bump_db = random.uniform(-15, 8) * np.exp(-0.5 * ((octave - centre) / width) ** 2)
            response *= (10 ** (bump_db / 20)).astype(np.float32)
    if random.random() < 0.7:
        response *= 1 + rfft(_room(random), length).astype(np.complex64)
    return irfft(rfft(sound, length) * response, length)[: len(sound)].astype(np.float32)


def _room(random: np.random.Generator) -> np.ndarray:
    """A room's reflections and tail, without the direct sound, which stays first and in time."""
    count = int(LONGEST_ROOM_S * SAMPLE_RATE_HZ)
    time_s = np.arange(count) / SAMPLE_RATE_HZ
    reverberation_s = np.exp(random.uniform(np.log(0.15), np.log(1.8)))
    tail = random.normal(0, 1, count) * np.exp(-6.9 * time_s / reverberation_s)
    tail[: int(random.uniform(0.001, 0.02) * SAMPLE_RATE_HZ)] = 0
    # Air and walls swallow the highs: a one-pole low-pass on the tail.
    low_pass = np.exp(-np.arange(200) / random.uniform(0.5, 4.0))
    tail = np.convolve(tail, low_pass / low_pass.sum())[:count]
    tail *= 10 ** (-random.uniform(-4, 18) / 20) / np.sqrt(np.sum(tail**2) + 1e-9)
    for _ in range(int(random.integers(0, 8))):
        tail[int(random.uniform(0.0005, 0.04) * SAMPLE_RATE_HZ)] += random.normal(0, 0.35)
    return tail.astype(np.float32)


def _effects(random: np.random.Generator) -> list[pedalboard.Plugin]:
    """A chain of pedalboard's effects, for a sound of RMS `TARGET_RMS`."""
    chain: list[pedalboard.Plugin] = []
    if random.random() < 0.15:
        # Pedalboard's reverb delays nothing: its dry sound stays in place.
        chain.append(
            pedalboard.Reverb(
                room_size=float(random.uniform(0.1, 0.8)),
                wet_level=float(random.uniform(0.05, 0.35)),
                dry_level=0.6,
            )
        )
    if random.random() < 0.2:
        chain.append(
            pedalboard.Compressor(
                threshold_db=float(random.uniform(-45, -20)),
                ratio=float(random.uniform(1.5, 6)),
                attack_ms=float(random.uniform(1, 30)),
                release_ms=float(random.uniform(50, 400)),
            )
        )
    if random.random() < 0.15:
        chain.append(pedalboard.Distortion(drive_db=float(random.uniform(0, 18))))
    if random.random() < 0.2:
        chain.append(pedalboard.LowpassFilter(float(random.uniform(2200, 7500))))
    if random.random() < 0.2:
        chain.append(pedalboard.HighpassFilter(float(random.uniform(40, 250))))
    return chain


def _add_noise(random: np.random.Generator, sound: np.ndarray) -> np.ndarray:
    """Coloured noise 12 to 60 dB below the sound, and at times the hum of the mains."""
    rms = np.sqrt(np.mean(sound**2)) + 1e-6
    if random.random() < 0.7:
        spectrum = rfft(random.normal(0, 1, len(sound)).astype(np.float32))
        hz = np.maximum(np.arange(len(spectrum)) * SAMPLE_RATE_HZ / len(sound), 20.0)
        noise = irfft(spectrum * hz ** -random.uniform(0, 1.2), len(sound))
        noise /= np.sqrt(np.mean(noise**2)) + 1e-9
        sound = sound + noise * rms * 10 ** (-random.uniform(12, 60) / 20)
    if random.random() < 0.1:
        hz = float(random.choice([50, 60])) * int(random.integers(1, 4))
        hum = np.sin(2 * np.pi * hz * np.arange(len(sound)) / SAMPLE_RATE_HZ)
        sound = sound + hum * rms * 10 ** (-random.uniform(20, 40) / 20)
    return sound
