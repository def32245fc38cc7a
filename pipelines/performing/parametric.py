"""Pianos that are computed rather than recorded, for more kinds of timbre than there are samples.

Additive synthesis of stiff strings: partial k of a string of inharmonicity B sounds at
k f0 sqrt(1 + B k^2) (Fletcher 1964); two or three slightly mistuned strings to a key give beats and
the two-stage decay (Weinreich 1977); the hammer's hardness, which grows with velocity, tilts the
spectrum, and its place on the string cancels partials; a soundboard colours everything and adds the
knock of the key. Every such number is drawn once per instrument from its seed.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from services.amt.contract import SAMPLE_RATE_HZ

NYQUIST_HZ = SAMPLE_RATE_HZ / 2


@njit(cache=True, fastmath=True)
def _ring(
    length: int, frequency: np.ndarray, amplitude: np.ndarray, phase: np.ndarray, decay: np.ndarray
) -> np.ndarray:
    """Sum of damped sinusoids: frequency in radians a sample, decay as a factor a sample."""
    sound = np.zeros(length, np.float32)
    for k in range(len(frequency)):
        real = amplitude[k] * np.cos(phase[k])
        imaginary = amplitude[k] * np.sin(phase[k])
        turn_real = decay[k] * np.cos(frequency[k])
        turn_imaginary = decay[k] * np.sin(frequency[k])
        for n in range(length):
            sound[n] += imaginary
            real, imaginary = (
                real * turn_real - imaginary * turn_imaginary,
                real * turn_imaginary + imaginary * turn_real,
            )
            if abs(real) + abs(imaginary) < 1e-7:
                break
    return sound


class ParametricPiano:
    """One computed instrument; the same seed gives the same instrument."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        random = np.random.default_rng([7_919, seed])
        self._inharmonicity = np.exp(random.uniform(np.log(1e-4), np.log(4e-4)))
        self._stiffening = random.uniform(0.05, 0.075)  # growth of B a semitone above middle C
        self._hammer = random.uniform(0.06, 0.22)  # spectral tilt of a mezzo-forte blow
        self._hardening = random.uniform(0.5, 1.3)
        self._strike_place = random.uniform(6.5, 10.0)
        self._mistuning_cents = random.uniform(0.2, 1.6)
        self._sustain_s = random.uniform(5.0, 14.0)  # decay time at A1, to -60 dB
        self._after_sound = random.uniform(0.08, 0.35)
        self._damping = random.uniform(0.15, 0.6)  # how much faster high partials decay
        self._knock = 10 ** (random.uniform(-34, -16) / 20)
        self._dynamics_db = random.uniform(26, 44)
        knots = np.linspace(np.log(25.0), np.log(8000.0), 16)
        self._board = (knots, random.normal(0, random.uniform(2, 5), 16))
        self._modes_hz = np.exp(random.uniform(np.log(60), np.log(1200), 24))
        self._key_db = random.normal(0, 1.0, 128)
        self._key_cents = random.normal(0, random.uniform(0.5, 3.0), 128)

    def strike(self, pitch: int, velocity: int, duration_s: float) -> np.ndarray:
        """The sound of one key: float32 at 16 kHz, `duration_s` long, undamped."""
        random = np.random.default_rng([self._seed, pitch, velocity])
        f0 = 440.0 * 2 ** ((pitch - 69 + self._key_cents[pitch] / 100) / 12)
        stiffness = self._inharmonicity * np.exp(self._stiffening * max(0, pitch - 48))
        number = np.arange(1, 61)
        partial_hz = number * f0 * np.sqrt(1 + stiffness * number**2)
        audible = partial_hz < 0.95 * NYQUIST_HZ
        number, partial_hz = number[audible], partial_hz[audible]

        loudness = 10 ** (((velocity / 127) - 1) * self._dynamics_db / 20)
        tilt = self._hammer * (64 / velocity) ** self._hardening * (1 + max(0, pitch - 60) / 24)
        comb = np.abs(np.sin(np.pi * number / self._strike_place)) + 0.05
        board = 10 ** (np.interp(np.log(partial_hz), *self._board) / 20)
        low_cut = 1 / (1 + (70 / partial_hz) ** 2)
        amplitude = loudness * np.exp(-tilt * number) * comb * board * low_cut
        amplitude *= 10 ** (self._key_db[pitch] / 20)

        t60_s = self._sustain_s * 2 ** (-(pitch - 33) / 22) / (1 + self._damping * (partial_hz / 1000))
        strings = 1 if pitch < 34 else 2 if pitch < 46 else 3
        sound = self._knocks(random, loudness, int(duration_s * SAMPLE_RATE_HZ))
        for string in range(strings):
            cents = self._mistuning_cents * random.normal()
            # The first string carries the fast sound; the others, out of phase, the after-sound.
            share = 1.0 if string == 0 else self._after_sound
            slowness = 1.0 if string == 0 else random.uniform(2.0, 4.0)
            sound += _ring(
                len(sound),
                2 * np.pi * partial_hz * 2 ** (cents / 1200) / SAMPLE_RATE_HZ,
                amplitude * share,
                random.uniform(0, 0.6, len(number)) + np.pi * (string == 1),
                10 ** (-3 / (t60_s * slowness * SAMPLE_RATE_HZ)),
            )
        return sound

    def _knocks(self, random: np.random.Generator, loudness: float, length: int) -> np.ndarray:
        """The key's knock on the soundboard: a few short, low modes."""
        return _ring(
            length,
            2 * np.pi * self._modes_hz / SAMPLE_RATE_HZ,
            self._knock * loudness * random.uniform(0.2, 1.0, len(self._modes_hz)),
            np.zeros(len(self._modes_hz)),
            np.exp(-1 / (random.uniform(0.008, 0.05, len(self._modes_hz)) * SAMPLE_RATE_HZ)),
        )
