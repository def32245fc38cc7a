"""What the tests of the pipelines share; they run in the training environment, which has torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipelines.performing.pianos import LEAD_IN, SAMPLE_LENGTH, Piano
from services.amt.contract import PITCHES, SAMPLE_RATE_HZ


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("COPYIST_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def piano() -> Piano:
    """An instrument of decaying sinusoids: cheap to make, and its onsets are known exactly."""
    time_s = (np.arange(SAMPLE_LENGTH) - LEAD_IN) / SAMPLE_RATE_HZ
    samples = np.zeros((PITCHES, 2, SAMPLE_LENGTH), np.int16)
    for key in range(PITCHES):
        hz = 440 * 2 ** ((key + 21 - 69) / 12)
        wave = np.cos(2 * np.pi * min(hz, 7000) * time_s) * np.exp(-np.maximum(time_s, 0))
        samples[key] = np.round(wave * (time_s >= 0) * 32767)
    peaks = np.tile(np.array([0.05, 0.4], np.float32), (PITCHES, 1))
    return Piano("test", samples, peaks, velocities=np.array([30.0, 100.0], np.float32))
