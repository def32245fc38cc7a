"""Features of recordings and of what was heard in them, for watching drift."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.amt.contract import SAMPLE_RATE_HZ, TARGET_RMS
from services.amt.decode import FULL_SCALE, Recording
from services.music.notes import Note
from services.runtime.profiles import Edges, Observation, shares

EDGES: Final[Edges] = MappingProxyType(
    {
        "loudness_db": (-60.0, -50.0, -40.0, -35.0, -30.0, -25.0, -20.0, -15.0, -10.0),
        "treble_db": (-50.0, -45.0, -40.0, -35.0, -30.0, -25.0, -20.0, -15.0, -10.0),
        "snr_db": (10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0, 50.0, 60.0),
        "clipped_share": (1e-6, 1e-5, 1e-4, 1e-3, 1e-2),
        "polyphony": (0.5, 1.5, 2.5, 3.5, 4.5, 6.5, 8.5, 12.5),
        "onset_rate_hz": (0.5, 1.0, 2.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0),
        "pitch": (32.5, 38.5, 44.5, 50.5, 56.5, 62.5, 68.5, 74.5, 80.5, 86.5),
        "confidence": (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95),
    }
)

_LEVEL_WINDOW: Final = SAMPLE_RATE_HZ // 10
_SPECTRUM_WINDOW: Final = 1024
#: Windows that a spectrum is the mean of, at most twice as many.
_SPECTRA: Final = 500
_TREBLE_HZ: Final = 2000
_POLYPHONY_STEP_S: Final = 0.05
_QUIETEST_DB: Final = -120.0


def measure(recording: Recording, notes: Sequence[Note]) -> Observation:
    """Measure one recording and its notes: the features of EDGES, and the checks

    - `notes_found`: whether there are any;
    - `ends_heard`: of each note, whether its end was heard before its key is struck again.
    """
    values: dict[str, Sequence[float] | NDArray[np.int64]] = {
        "loudness_db": [_decibel(recording.rms)],
        "treble_db": [_treble_db(recording.samples)],
        "snr_db": [_snr_db(recording.samples)],
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


def _decibel(level: float) -> float:
    return max(20 * float(np.log10(level)), _QUIETEST_DB) if level > 0 else _QUIETEST_DB


def _snr_db(samples: NDArray[np.int16]) -> float:
    """Estimate the level above the noise: the loud 100 ms windows (95th percentile) over the soft (5th)."""
    windows = samples[: samples.size // _LEVEL_WINDOW * _LEVEL_WINDOW].reshape(-1, _LEVEL_WINDOW)
    if not windows.size:
        return 0.0
    # Window by window in float32: an hour must not become a copy of four times its size.
    energy = np.array([float(np.dot(w, w)) for w in (window.astype(np.float32) for window in windows)])
    rms = np.sqrt(energy / _LEVEL_WINDOW) / FULL_SCALE / TARGET_RMS
    soft, loud = np.percentile(rms, (5, 95))
    return _decibel(float(loud)) - _decibel(float(soft))


def _treble_db(samples: NDArray[np.int16]) -> float:
    """Tell how far the energy above 2 kHz lies below all of it, in windows spread over the recording."""
    windows = samples[: samples.size // _SPECTRUM_WINDOW * _SPECTRUM_WINDOW].reshape(-1, _SPECTRUM_WINDOW)
    if not windows.size:
        return _QUIETEST_DB
    some = windows[:: max(1, len(windows) // _SPECTRA)].astype(np.float32) * np.hanning(_SPECTRUM_WINDOW)
    energy = np.square(np.abs(np.fft.rfft(some))).sum(axis=0)
    treble = energy[round(_TREBLE_HZ * _SPECTRUM_WINDOW / SAMPLE_RATE_HZ) :]
    return _decibel(float(np.sqrt(treble.sum() / energy.sum()))) if energy.any() else _QUIETEST_DB


def _polyphony(notes: Sequence[Note], duration_s: float) -> NDArray[np.int64]:
    """How many notes sound at each step of the recording."""
    steps = max(int(duration_s / _POLYPHONY_STEP_S), 1)
    change = np.zeros(steps + 1, np.int64)
    for times, delta in (([n.onset_s for n in notes], 1), ([n.offset_s for n in notes], -1)):
        at = np.asarray(times, np.float64) / _POLYPHONY_STEP_S
        np.add.at(change, np.minimum(at.astype(np.int64), steps), delta)
    return np.cumsum(change)[:steps]
