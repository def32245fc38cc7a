"""Readings of the pulse."""

from __future__ import annotations

import numpy as np
import pytest

from services.music import pulse as pulse_module
from services.music.beats import TempoRange, track_beats
from services.music.performance import gather
from services.music.pulse import find_pulse, readings
from tests.music.examples import BEAT_S, march, waltz


def test_beats_of_a_steady_piece_are_exact() -> None:
    pulse = track_beats(gather(march()), TempoRange.around(BEAT_S))
    expected = 0.5 + BEAT_S * np.arange(len(pulse.beats_s))
    assert pulse.beats_s == pytest.approx(expected, abs=0.01)


def test_beats_cover_every_note() -> None:
    performance = gather(waltz())
    for reading in readings(performance, None):
        assert reading.pulse.beats_s[0] <= performance.chord_s[0] + 1e-9
        assert reading.pulse.beats_s[-1] > performance.chord_s[-1]
        assert np.all(np.diff(reading.pulse.beats_s) > 0)


def test_downbeats_of_a_waltz_are_on_the_bass() -> None:
    reading = find_pulse(gather(waltz()))
    downbeats = reading.pulse.beats_s[reading.bars.first_downbeat :: reading.bars.beats]
    assert downbeats[:8] == pytest.approx(0.5 + 3 * BEAT_S * np.arange(8), abs=0.01)


def test_long_work_is_read_by_its_beginning_and_tracked_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse_module, "_EXCERPT_CHORDS", 200)
    notes = march(80)
    reading = find_pulse(gather(notes))
    assert (reading.metre.beats, reading.metre.beat_type) == (4, 4)
    assert reading.pulse.beats_s[-1] > notes[-1].onset_s
    assert np.diff(reading.pulse.beats_s) == pytest.approx(BEAT_S, abs=0.02)
