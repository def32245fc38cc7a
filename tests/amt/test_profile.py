"""The features that drift is watched by."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from services.amt.decode import FULL_SCALE, Recording
from services.amt.profile import EDGES, measure
from services.music.notes import Note
from services.runtime.profiles import Observation, reference
from tests.recordings import tones


def _recording(rms: float = 0.05, clipped: float = 0.0) -> Recording:
    return Recording((tones(4, 16_000) * FULL_SCALE).astype(np.int16), rms, clipped)


def _bin(observed: Observation, feature: str) -> int:
    return int(np.argmax(observed.features[feature]))


NOTES = [Note(0.0, 2.0, 60, 64, 0.97), Note(1.0, 3.0, 64, 64, 0.97), Note(3.5, 4.0, 40, 64, 0.97)]


def test_each_feature_has_a_mass_of_one() -> None:
    profile = measure(_recording(), NOTES).features
    assert set(profile) == set(EDGES)
    for feature, shares in profile.items():
        assert len(shares) == len(EDGES[feature]) + 1
        assert sum(shares) == pytest.approx(1)


def test_values_fall_into_their_bins() -> None:
    observed = measure(_recording(rms=10 ** (-22 / 20), clipped=0.005), NOTES)
    assert EDGES["loudness_db"][_bin(observed, "loudness_db")] == -21
    assert EDGES["clipped_share"][_bin(observed, "clipped_share")] == 1e-2
    assert EDGES["onset_rate_hz"][_bin(observed, "onset_rate_hz")] == 1.0
    profile = observed.features
    assert EDGES["confidence"][_bin(observed, "confidence")] == 0.98
    # One sounds from 0 to 1 s, two to 2 s, one to 3 s, none to 3.5 s, one to 4 s.
    assert profile["polyphony"][:3] == pytest.approx((0.125, 0.625, 0.25), abs=0.03)


def test_no_notes_leave_the_features_of_notes_empty() -> None:
    profile = measure(_recording(rms=0.0), []).features
    assert sum(profile["pitch"]) == sum(profile["confidence"]) == 0
    assert profile["loudness_db"][0] == 1
    assert profile["polyphony"][0] == 1


def test_noise_lowers_the_signal_to_noise_ratio() -> None:
    random = np.random.default_rng(0)
    clean = _recording()
    noisy = Recording((clean.samples + random.normal(0, 800, clean.samples.size)).astype(np.int16), 0.05, 0)
    bins = [_bin(measure(recording, []), "snr_db") for recording in (noisy, clean)]
    assert bins[0] < bins[1]


def test_a_reference_is_the_mean_over_recordings() -> None:
    quiet, loud = measure(_recording(rms=0.01), NOTES), measure(_recording(rms=0.1), [])
    card = reference([quiet, loud], EDGES)
    assert card["observations"] == 2
    shares = card["features"]["loudness_db"]["shares"]
    assert sorted(shares)[-2:] == [0.5, 0.5]
    assert sum(card["features"]["pitch"]["shares"]) == pytest.approx(1)
    assert card["features"]["pitch"]["edges"] == list(EDGES["pitch"])


@pytest.mark.parametrize(
    "samples", [np.ones(5, np.int16), np.zeros(20_000, np.int16)], ids=["short", "silent"]
)
def test_a_recording_that_has_no_spectrum_is_measured_all_the_same(samples: NDArray[np.int16]) -> None:
    profile = measure(Recording(samples, 0.05, 0), []).features
    assert sum(profile["loudness_db"]) == 1
    assert sum(profile["snr_db"]) == sum(profile["treble_db"]) == 0


def test_checks_tell_of_nothing_found_and_of_notes_that_only_the_next_one_ends() -> None:
    struck_again = [Note(0.0, 1.0, 60, 64, 0.9), Note(1.0, 1.5, 60, 64, 0.9), Note(2.0, 2.5, 60, 64, 0.9)]
    assert measure(_recording(), struck_again).checks == {"notes_found": (1, 1), "ends_heard": (2, 3)}
    assert measure(_recording(), []).checks == {"notes_found": (0, 1), "ends_heard": (0, 0)}


def _strokes() -> NDArray[np.float64]:
    """Twenty strokes of all frequencies, with silence after each."""
    random = np.random.default_rng(1)
    return random.normal(0, 2000, 64_000) * (np.arange(64_000) % 3200 < 1600)


def _with(samples: NDArray[np.float64]) -> Recording:
    return Recording(samples.astype(np.int16), 0.05, 0)


def test_a_cut_of_the_treble_lowers_it() -> None:
    dull = np.convolve(_strokes(), np.ones(32) / 32, mode="same")
    bins = [_bin(measure(_with(samples), []), "treble_db") for samples in (dull, _strokes())]
    assert bins[0] < bins[1]


def test_noise_that_hides_the_treble_is_not_taken_for_it() -> None:
    noise = np.random.default_rng(2).normal(0, 1, 64_000)
    dull = np.convolve(_strokes(), np.ones(32) / 32, mode="same")
    little, much = (measure(_with(dull + level * noise), []) for level in (2, 500))
    assert _bin(little, "treble_db") == _bin(measure(_with(dull), []), "treble_db")
    assert sum(much.features["treble_db"]) == 0
    assert _bin(much, "snr_db") < _bin(little, "snr_db")
