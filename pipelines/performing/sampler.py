"""Plays a performance on a piano: samples, dampers, sympathetic strings under the pedal, noises."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from scipy.signal import fftconvolve

from pipelines.performing.expression import HOLDING_DEPTH, Performance
from pipelines.performing.pianos import LEAD_IN, Piano
from services.amt.contract import LOWEST_PITCH, PITCHES, SAMPLE_RATE_HZ

TAIL_S = 1.0
#: The damper is on the string before the key is all the way up, which is when an action says "off".
DAMPER_LEAD_S = 0.02


@dataclass(frozen=True)
class Tuning:
    """What varies between two performances on one instrument.

    Attributes:
        rates: [88] speed of each key's samples: global tuning and the key's own mistuning.
        damper_s: [88] time constant of each key's damper; the highest keys have none.
        dynamics: exponent on the instrument's own growth of loudness with velocity.
        layer_shift: velocities are read this much higher from the bank: a brighter instrument.
        sympathy: level of the strings that ring along while the pedal is down.
        noise: level of the thumps of pedal and keys.
    """

    rates: np.ndarray
    damper_s: np.ndarray
    dynamics: float
    layer_shift: float
    sympathy: float
    noise: float


def draw_tuning(random: np.random.Generator) -> Tuning:
    """A random state of an instrument."""
    cents = random.normal(0, 12) + random.normal(0, random.uniform(0, 4), PITCHES)
    # Bass strings ring on for a while under the best of dampers; worn felt lets all of them.
    bass_s = np.exp(random.uniform(np.log(0.05), np.log(0.4)))
    treble_s = bass_s * random.uniform(0.15, 0.4)
    damper_s = np.geomspace(bass_s, treble_s, PITCHES)
    undamped_from = int(random.integers(68, 90))
    damper_s[undamped_from:] = 2.0
    return Tuning(
        rates=2 ** (cents / 1200),
        damper_s=damper_s,
        dynamics=float(random.uniform(0.7, 1.4)),
        layer_shift=float(random.normal(0, 10)),
        sympathy=float(10 ** (random.uniform(-34, -14) / 20)) if random.random() < 0.7 else 0.0,
        noise=float(10 ** (random.uniform(-60, -34) / 20)) if random.random() < 0.6 else 0.0,
    )


@njit(cache=True, fastmath=True, nogil=True)
def _add_note(
    out: np.ndarray, sample: np.ndarray, start: float, held: float, rate: float, gain: float, damper: float
) -> None:
    """Add one sample to `out`, interpolated by cubic Hermite; all times in samples."""
    first = int(np.floor(start))
    position = (first - start) * rate if first >= start else (first + 1 - start) * rate
    first = first if first >= start else first + 1
    fade = np.exp(-1.0 / damper)
    level = gain
    last = min(len(out), first + int((len(sample) - 3) / rate))
    for n in range(first, last):
        index = int(position)
        if n >= 0 and index >= 1:
            f = np.float32(position - index)
            a, b = np.float32(sample[index - 1]), np.float32(sample[index])
            c, d = np.float32(sample[index + 1]), np.float32(sample[index + 2])
            slope, bend = 0.5 * (c - a), a - 2.5 * b + 2 * c - 0.5 * d
            out[n] += level * (b + f * (slope + f * (bend + f * (0.5 * (d - a) + 1.5 * (b - c)))))
        if n - first > held:
            level *= fade
            if level < gain * 1e-4:
                break
        position += rate


def _sympathetic_strings(random: np.random.Generator) -> np.ndarray:
    """Impulse response of all strings set free: decaying sinusoids at every key, and their octaves."""
    length = int(1.8 * SAMPLE_RATE_HZ)
    time_s = np.arange(length) / SAMPLE_RATE_HZ
    response = np.zeros(length, np.float32)
    for key in range(0, PITCHES, 1):
        hz = 440 * 2 ** ((LOWEST_PITCH + key - 69 + random.normal(0, 0.02)) / 12)
        if hz > 5000:
            break
        decay_s = 0.9 * 2 ** (-key / 30)
        wave = np.sin(2 * np.pi * hz * time_s + random.uniform(0, 6.28)) * np.exp(-time_s / decay_s)
        response += (wave * random.uniform(0.3, 1) / np.sqrt(decay_s)).astype(np.float32)
    return response / np.sqrt(np.sum(response**2))


def render(
    random: np.random.Generator, performance: Performance, piano: Piano, tuning: Tuning, length_s: float
) -> np.ndarray:
    """The sound of a performance.

    Returns:
        float32 at 16 kHz, `length_s` + TAIL_S long; onsets sound exactly when the notes say.
    """
    length = int((length_s + TAIL_S) * SAMPLE_RATE_HZ)
    sound = np.zeros(length, np.float32)
    damping = _damping(performance)
    for (onset, _, offset, pitch, velocity), slower in zip(performance.notes, damping, strict=True):
        key = int(pitch) - LOWEST_PITCH
        wanted = velocity + tuning.layer_shift + random.normal(0, 3)
        layer = int(np.argmin(np.abs(piano.velocities - wanted)))
        gain = piano.peaks[key, layer] * _loudness(piano, key, layer, float(velocity), tuning.dynamics)
        rate = float(tuning.rates[key])
        _add_note(
            sound,
            piano.samples[key, layer],
            float(onset) * SAMPLE_RATE_HZ - LEAD_IN / rate,
            max(0.0, float(offset - onset) - DAMPER_LEAD_S) * SAMPLE_RATE_HZ + LEAD_IN,
            rate,
            float(gain) / 32767,
            float(tuning.damper_s[key] * slower) * SAMPLE_RATE_HZ,
        )
    if tuning.sympathy and len(performance.pedals):
        sound += _ring_along(random, sound, performance.pedals, tuning.sympathy)
    if tuning.noise:
        sound += _thumps(random, performance, tuning.noise, length)
    return sound


def _damping(performance: Performance) -> np.ndarray:
    """How many times more slowly each note dies, for being released under a shallow pedal: [notes]."""
    slower = np.ones(len(performance.notes))
    for down, up, depth in performance.pedals:
        if depth <= HOLDING_DEPTH:
            under = (performance.notes[:, 2] >= down) & (performance.notes[:, 2] < up)
            slower[under] = 1 + 12 * depth
    return slower


def _loudness(piano: Piano, key: int, layer: int, velocity: float, dynamics: float) -> float:
    """Gain from the loudness of a layer to that of a velocity, on the bank's own curve.

    The curve is the log of the layers' peaks against velocity, its slope scaled by `dynamics`.
    """
    peaks_db = 20 * np.log10(np.maximum(piano.peaks[key], 1e-6))
    slope, _ = np.polyfit(piano.velocities, peaks_db, 1)
    at_layer = piano.velocities[layer]
    own = slope * (velocity - at_layer)
    stretched = (dynamics - 1) * slope * (velocity - 64)
    return float(10 ** ((own + stretched) / 20))


def _ring_along(
    random: np.random.Generator, sound: np.ndarray, pedals: np.ndarray, level: float
) -> np.ndarray:
    gate = np.zeros(len(sound), np.float32)
    for down, up, depth in pedals:
        gate[int(down * SAMPLE_RATE_HZ) : int(up * SAMPLE_RATE_HZ)] = depth
    smooth = np.hanning(800).astype(np.float32)
    gate = np.clip(fftconvolve(gate, smooth / smooth.sum(), mode="same"), 0, 1)
    ringing = fftconvolve(sound * gate, _sympathetic_strings(random))[: len(sound)]
    return (level * ringing * gate * 4).astype(np.float32)


def _thumps(random: np.random.Generator, performance: Performance, level: float, length: int) -> np.ndarray:
    """Short low knocks when the pedal moves and when keys come back up."""
    impulses = np.zeros(length, np.float32)
    times = np.concatenate([performance.pedals[:, :2].ravel(), performance.notes[:, 1]])
    strengths = np.concatenate(
        [np.full(2 * len(performance.pedals), 1.0), np.full(len(performance.notes), 0.25)]
    )
    index = np.clip((times * SAMPLE_RATE_HZ).astype(int), 0, length - 1)
    np.add.at(impulses, index, (strengths * random.uniform(0.2, 1, len(times))).astype(np.float32))
    time_s = np.arange(2400) / SAMPLE_RATE_HZ
    knock = np.zeros(2400)
    for hz in random.uniform(40, 400, 8):
        knock += np.sin(2 * np.pi * hz * time_s) * np.exp(-time_s / random.uniform(0.01, 0.06))
    return (level * fftconvolve(impulses, knock)[:length]).astype(np.float32)
