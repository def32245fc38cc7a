"""Posteriors, made as the training targets are, back to the notes that they stand for."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.amt.contract import FRAME, FRAME_S, LOWEST_PITCH, OFFSET, ONSET, PITCHES, VELOCITY
from services.amt.notes import DecodingThresholds, find_notes
from services.music.notes import Note


@dataclass(frozen=True)
class Played:
    onset_s: float
    offset_s: float
    pitch: int
    velocity: int = 64


def posteriors_of(played: list[Played], frames: int) -> NDArray[np.uint8]:
    """Exact targets: triangles of ±50 ms at onsets and ±60 ms at offsets, hard frames."""
    centres_s = np.arange(frames) * FRAME_S
    out = np.zeros((4, frames, PITCHES))
    for note in played:
        pitch = note.pitch - LOWEST_PITCH
        for head, at_s, half_s in ((ONSET, note.onset_s, 0.05), (OFFSET, note.offset_s, 0.06)):
            triangle = np.clip(1 - np.abs(centres_s - at_s) / half_s, 0, 1)
            out[head, :, pitch] = np.maximum(out[head, :, pitch], triangle)
        sounding = (centres_s >= note.onset_s) & (centres_s < note.offset_s)
        out[FRAME, sounding, pitch] = 1
        out[VELOCITY, np.abs(centres_s - note.onset_s) < 0.06, pitch] = note.velocity / 127
    return np.rint(out * 255).astype(np.uint8)


@given(
    st.floats(0.1, 1.0),
    st.floats(0.12, 1.0),
    st.integers(21, 108),
    st.integers(1, 127),
)
@settings(max_examples=200)
def test_one_note_comes_back_exactly(onset_s: float, length_s: float, pitch: int, velocity: int) -> None:
    (note,) = find_notes(posteriors_of([Played(onset_s, onset_s + length_s, pitch, velocity)], 130))
    assert note.onset_s == pytest.approx(onset_s, abs=0.001)
    assert note.offset_s == pytest.approx(onset_s + length_s, abs=0.0015)
    assert note.pitch == pitch
    assert note.velocity == pytest.approx(velocity, abs=1)
    assert note.confidence > 0.85


def test_notes_are_sorted_by_onset_then_pitch() -> None:
    played = [Played(0.5, 1, 72), Played(0.1, 1, 60), Played(0.5, 1, 48)]
    assert [note.pitch for note in find_notes(posteriors_of(played, 80))] == [60, 48, 72]


def test_the_order_holds_for_the_digits_that_answers_tell() -> None:
    posteriors = posteriors_of([Played(0.5, 1, 72), Played(0.5, 1, 48)], 80)
    # A rounding step of a posterior moves the lower key's onset by some microseconds.
    at = int(0.5 / FRAME_S)
    posteriors[ONSET, at - 1, 72 - LOWEST_PITCH] = 154
    posteriors[ONSET, at - 2, 72 - LOWEST_PITCH] = 52
    told = [(round(note.onset_s, 4), note.pitch) for note in find_notes(posteriors)]
    assert told == sorted(told)
    assert [note.onset_s for note in find_notes(posteriors)] == [onset for onset, _ in told]


def test_a_repeated_note_ends_where_the_next_begins() -> None:
    played = [Played(0.2, 0.39, 60), Played(0.4, 0.59, 60), Played(0.6, 1.0, 60)]
    posteriors = posteriors_of(played, 80)
    posteriors[OFFSET] = 0
    posteriors[FRAME, 10:50, 60 - LOWEST_PITCH] = 255
    notes = find_notes(posteriors)
    assert [note.onset_s for note in notes] == pytest.approx([0.2, 0.4, 0.6], abs=0.001)
    assert [note.offset_s for note in notes[:2]] == [notes[1].onset_s, notes[2].onset_s]


def test_low_frames_end_a_note_where_no_offset_is_seen() -> None:
    posteriors = posteriors_of([Played(0.2, 0.7, 60)], 80)
    posteriors[OFFSET] = 0
    (note,) = find_notes(posteriors)
    assert note.offset_s == pytest.approx(0.7, abs=FRAME_S / 2 + 1e-6)


def test_one_low_frame_does_not_end_a_note() -> None:
    posteriors = posteriors_of([Played(0.2, 0.9, 60)], 80)
    posteriors[FRAME, 25, 60 - LOWEST_PITCH] = 0
    (note,) = find_notes(posteriors)
    assert note.offset_s == pytest.approx(0.9, abs=0.0015)


def test_an_offset_ends_only_notes_of_its_own_pitch() -> None:
    notes = find_notes(posteriors_of([Played(0.1, 1.2, 60), Played(0.1, 0.5, 61)], 80))
    assert [note.offset_s for note in notes] == pytest.approx([1.2, 0.5], abs=0.0015)


def test_a_note_held_to_the_end_ends_there() -> None:
    posteriors = posteriors_of([Played(0.2, 99, 60)], 50)
    (note,) = find_notes(posteriors)
    assert note.offset_s == pytest.approx(50 * FRAME_S, abs=FRAME_S)


def test_a_note_without_frames_is_as_short_as_allowed() -> None:
    posteriors = posteriors_of([Played(0.2, 0.5, 60)], 50)
    posteriors[[OFFSET, FRAME]] = 0
    thresholds = DecodingThresholds()
    (note,) = find_notes(posteriors, thresholds)
    longest_s = (thresholds.attack_frames + 1) * FRAME_S
    assert thresholds.shortest_s <= note.offset_s - note.onset_s <= longest_s


def test_the_onset_threshold_counts_three_frames() -> None:
    posteriors = np.zeros((4, 20, PITCHES), np.uint8)
    posteriors[ONSET, 9:12, 5] = (50, 150, 50)
    posteriors[FRAME, 10:15, 5] = 255
    at = 250 / 255
    assert len(find_notes(posteriors, DecodingThresholds(onset=at - 0.01))) == 1
    assert not find_notes(posteriors, DecodingThresholds(onset=at + 0.01))


@pytest.mark.parametrize("frame", [0, 1, 48, 49])
def test_onsets_at_the_ends_of_the_recording(frame: int) -> None:
    (note,) = find_notes(posteriors_of([Played(frame * FRAME_S, 9, 60)], 50))
    assert note.onset_s == pytest.approx(frame * FRAME_S, abs=FRAME_S / 2)
    assert note.offset_s > note.onset_s


def test_nothing_is_found_in_nothing() -> None:
    assert find_notes(np.zeros((4, 100, PITCHES), np.uint8)) == []


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=50)
def test_any_posteriors_give_well_formed_notes(seed: int) -> None:
    random = np.random.default_rng(seed)
    posteriors = random.integers(0, 256, (4, 60, PITCHES), dtype=np.uint8)
    posteriors[:, random.random((60, PITCHES)) < 0.7] = 0
    notes = find_notes(posteriors)
    assert notes == sorted(notes, key=lambda note: (note.onset_s, note.pitch))
    last: dict[int, Note] = {}
    for note in notes:
        assert 0 <= note.onset_s < note.offset_s <= 60 * FRAME_S + 0.04
        assert 21 <= note.pitch <= 108
        assert 1 <= note.velocity <= 127
        assert 0 < note.confidence <= 1
        if note.pitch in last:
            assert last[note.pitch].offset_s <= note.onset_s
        last[note.pitch] = note


def test_an_hour_takes_little_time() -> None:
    random = np.random.default_rng(0)
    frames = 180_000
    posteriors = np.zeros((4, frames, PITCHES), np.uint8)
    onsets = random.integers(3, frames - 60, 40_000)
    pitches = random.integers(0, PITCHES, onsets.size)
    for shift, value in ((-1, 150), (0, 255), (1, 150)):
        posteriors[ONSET, onsets + shift, pitches] = value
    for shift in range(30):
        posteriors[FRAME, onsets + shift, pitches] = 255
    posteriors[VELOCITY] = 100
    started = time.process_time()
    notes = find_notes(posteriors)
    assert time.process_time() - started < 2
    assert len(notes) > 30_000


def test_thresholds_come_from_the_card() -> None:
    card = {"thresholds": {"onset": 0.8, "low_frames": 3}, "other": 1}
    assert DecodingThresholds.from_card(card) == replace(DecodingThresholds(), onset=0.8, low_frames=3)
    assert DecodingThresholds.from_card({}) == DecodingThresholds()
