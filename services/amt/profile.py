"""Features of recordings and of what was heard in them, for watching drift."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.amt.contract import SAMPLE_RATE_HZ
from services.amt.decode import Recording
from services.music.notes import Note
from services.runtime.profiles import Edges, Observation, shares

Floats = NDArray[np.float64]

EDGES: Final[Edges] = MappingProxyType(
    {
        "loudness_db": (-50.0, -40.0, -35.0, -30.0, -27.0, -24.0, -21.0, -18.0, -15.0, -10.0),
        "treble_db": (-40.0, -35.0, -30.0, -25.0, -20.0, -15.0, -10.0, -7.0, -4.0),
        "snr_db": (3.0, 6.0, 9.0, 12.0, 15.0, 18.0, 22.0, 27.0, 35.0, 45.0),
        # A few samples at full scale are a codec's overshoot.
        "clipped_share": (1e-4, 1e-3, 1e-2),
        "polyphony": (0.5, 1.5, 2.5, 3.5, 4.5, 6.5, 8.5, 12.5),
        "onset_rate_hz": (0.5, 1.0, 2.0, 4.0, 6.0, 8.0, 12.0, 16.0, 20.0, 28.0),
        "pitch": (32.5, 38.5, 44.5, 50.5, 56.5, 62.5, 68.5, 74.5, 80.5, 86.5),
        "confidence": (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98),
    }
)

_WINDOW: Final = 1024
#: Windows that are looked at, spread over the recording: at most twice as many.
_WINDOWS: Final = 500
_TREBLE_HZ: Final = 2000
#: Of the windows at each frequency the share that is taken for silence there, ...
_SILENT: Final = 0.1
#: ... and the share of noise's mean power below which its power lies for that share of the time.
_SILENT_POWER: Final = -float(np.log(1 - _SILENT))
_POLYPHONY_STEP_S: Final = 0.05
_QUIETEST_DB: Final = -120.0


def measure(recording: Recording, notes: Sequence[Note]) -> Observation:
    """Measure one recording and its notes: the features of EDGES, and the checks

    - `notes_found`: whether there are any;
    - `ends_heard`: of each note, whether its end was heard before its key is struck again.
    """
    power, noise = _spectra(recording.samples)
    values: dict[str, Sequence[float] | NDArray[np.int64]] = {
        "loudness_db": [_decibel(recording.rms**2)],
        "treble_db": _treble_db(power, noise),
        "snr_db": _snr_db(power, noise),
        "clipped_share": [recording.clipped_share],
        "polyphony": _polyphony(notes, recording.duration_s),
        "onset_rate_hz": [len(notes) / recording.duration_s],
        "pitch": [note.pitch for note in notes],
        "confidence": [note.confidence for note in notes],
    }
    return Observation(
        features={feature: shares(values[feature], edges) for feature, edges in EDGES.items()},
        checks={"notes_found": (int(bool(notes)), 1), "ends_heard": (_ends_heard(notes), len(notes))},
    )


def _ends_heard(notes: Sequence[Note]) -> int:
    """Count the notes that end before the next one of their pitch begins."""
    onsets = {(note.pitch, note.onset_s) for note in notes}
    return sum((note.pitch, note.offset_s) not in onsets for note in notes)


def _decibel(power: float) -> float:
    return max(10 * float(np.log10(power)), _QUIETEST_DB) if power > 0 else _QUIETEST_DB


def _spectra(samples: NDArray[np.int16]) -> tuple[Floats, Floats]:
    """Estimate the mean power at each frequency, of all and of noise: of what never falls silent there.

    Music leaves every frequency now and then, steady noise none (minimum statistics: Martin 2001,
    doi:10.1109/89.928915).
    """
    windows = samples[: samples.size // _WINDOW * _WINDOW].reshape(-1, _WINDOW)
    if not windows.size:
        return np.zeros(1), np.zeros(1)
    some = windows[:: max(1, len(windows) // _WINDOWS)].astype(np.float32) * np.hanning(_WINDOW)
    power = np.square(np.abs(np.fft.rfft(some)))
    return power.mean(axis=0), np.quantile(power, _SILENT, axis=0) / _SILENT_POWER


def _snr_db(power: Floats, noise: Floats) -> list[float]:
    """Tell how far all energy lies above that of noise; nothing of silence."""
    return [_decibel(float(power.sum() / max(noise.sum(), 1e-9)))] if power.any() else []


def _treble_db(power: Floats, noise: Floats) -> list[float]:
    """Tell how far the energy above 2 kHz lies below all of it, noise aside; nothing where noise hides it."""
    # Twice what noise has on average, lest what it has by chance be taken for music.
    music = np.maximum(power - 2 * noise, 0)
    treble = slice(round(_TREBLE_HZ * _WINDOW / SAMPLE_RATE_HZ), None)
    if music[treble].sum() < noise[treble].sum():
        return []
    return [_decibel(float(music[treble].sum() / music.sum()))] if music.any() else []


def _polyphony(notes: Sequence[Note], duration_s: float) -> NDArray[np.int64]:
    """How many notes sound at each step of the recording."""
    steps = max(int(duration_s / _POLYPHONY_STEP_S), 1)
    change = np.zeros(steps + 1, np.int64)
    for times, delta in (([n.onset_s for n in notes], 1), ([n.offset_s for n in notes], -1)):
        at = np.asarray(times, np.float64) / _POLYPHONY_STEP_S
        np.add.at(change, np.minimum(at.astype(np.int64), steps), delta)
    return np.cumsum(change)[:steps]
