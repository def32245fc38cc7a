"""MIDI files: the performance to the millisecond, bars and beats where the score has them."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import mido
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.music.midi import write_midi, write_score_midi
from services.music.notate import NotationOptions, notate
from services.music.notes import Note
from tests.music.examples import any_notes, march, waltz

Timed = list[tuple[float, mido.Message]]


def timed(data: bytes) -> list[Timed]:
    """For each track its messages with their time in seconds."""
    file = mido.MidiFile(file=io.BytesIO(data))
    tempi: list[tuple[int, float, int]] = [(0, 0.0, 500_000)]
    tick = 0
    for message in file.tracks[0]:
        tick += message.time
        if message.type == "set_tempo":
            then, seconds, tempo = tempi[-1]
            tempi.append((tick, seconds + (tick - then) * tempo / 1e6 / file.ticks_per_beat, message.tempo))
    starts = np.array([start for start, _, _ in tempi])
    tracks = []
    for track in file.tracks:
        tick, messages = 0, []
        for message in track:
            tick += message.time
            then, seconds, tempo = tempi[int(np.searchsorted(starts, tick, side="right")) - 1]
            messages.append((seconds + (tick - then) * tempo / 1e6 / file.ticks_per_beat, message))
        tracks.append(messages)
    return tracks


def notes_in(track: Timed) -> list[tuple[float, float, int, int]]:
    """Onset and offset in seconds, pitch and velocity of every note."""
    sounding: dict[int, tuple[float, int]] = {}
    notes = []
    for seconds, message in track:
        if message.type == "note_on":
            assert message.note not in sounding
            sounding[message.note] = (seconds, message.velocity)
        elif message.type == "note_off":
            onset, velocity = sounding.pop(message.note)
            notes.append((onset, seconds, message.note, velocity))
    assert not sounding
    return sorted(notes)


def test_times_are_kept_to_the_millisecond() -> None:
    notes = march()
    tracks = timed(write_midi(notes, notate(notes)))
    found = sorted(note for track in tracks[1:] for note in notes_in(track))
    assert len(found) == len(notes)
    for (onset, offset, pitch, velocity), note in zip(found, sorted(notes), strict=True):
        assert (pitch, velocity) == (note.pitch, note.velocity)
        assert abs(onset - note.onset_s) < 0.001
        assert abs(offset - note.offset_s) < 0.001


@settings(max_examples=60)
@given(any_notes(), st.sampled_from([None, 20.0, 90.0, 400.0]))
def test_any_onset_is_kept_to_the_millisecond(notes: list[Note], bpm: float | None) -> None:
    tracks = timed(write_midi(notes, notate(notes, NotationOptions(tempo_bpm=bpm))))
    found = [note for track in tracks[1:] for note in notes_in(track)]
    for note in notes:
        assert any(
            pitch == note.pitch and abs(onset - note.onset_s) < 0.001 for onset, _, pitch, _ in found
        ), note
    latest = {note.pitch: max(n.offset_s for n in notes if n.pitch == note.pitch) for note in notes}
    for _, offset, pitch, _ in found:
        assert offset < latest[pitch] + 0.002


def test_long_slow_performance_does_not_drift() -> None:
    notes = [Note(2.9 * i + 0.013 * (i % 7), 2.9 * i + 2.5, 60 + i % 12, 64) for i in range(300)]
    tracks = timed(write_midi(notes, notate(notes)))
    found = sorted(note for track in tracks[1:] for note in notes_in(track))
    worst = max(abs(f[0] - n.onset_s) for f, n in zip(found, sorted(notes), strict=True))
    assert worst < 0.001


def test_bars_begin_on_the_downbeats_found() -> None:
    notes = waltz()
    score = notate(notes)
    file = mido.MidiFile(file=io.BytesIO(write_midi(notes, score)))
    ticks_per_bar = 3 * file.ticks_per_beat
    tick, bars = 0, []
    for message in file.tracks[2]:
        tick += message.time
        if message.type == "note_on" and message.note in (43, 50):
            bars.append(tick)
    assert len(bars) == 8
    assert all(min(bar % ticks_per_bar, -bar % ticks_per_bar) < ticks_per_bar * 0.02 for bar in bars)


def test_conductor_track_tells_key_metre_and_title() -> None:
    notes = march()
    data = write_midi(notes, notate(notes, NotationOptions(title="Märsche")))
    messages = {message.type: message for _, message in timed(data)[0]}
    assert messages["key_signature"].key == "Eb"
    assert (messages["time_signature"].numerator, messages["time_signature"].denominator) == (4, 4)
    assert messages["track_name"].name == "Märsche"


def test_hands_are_tracks() -> None:
    notes = march()
    right, left = timed(write_midi(notes, notate(notes)))[1:]
    assert Counter(pitch for _, _, pitch, _ in notes_in(right)).keys() >= {75, 74, 79, 77}
    assert {pitch for _, _, pitch, _ in notes_in(left)} >= {34, 39, 44, 46}


def test_struck_again_ends_the_note_before() -> None:
    notes = [Note(0.0, 5.0, 60, 64), Note(1.0, 2.0, 60, 80), Note(2.5, 3.0, 64, 64)]
    tracks = timed(write_midi(notes, notate(notes)))
    found = sorted(note for track in tracks[1:] for note in notes_in(track))
    assert [round(offset, 3) for _, offset, pitch, _ in found if pitch == 60] == [1.0, 2.0]


def test_no_notes_make_a_file() -> None:
    tracks = timed(write_midi([], notate([])))
    assert len(tracks) == 3


def test_pretty_midi_reads_the_same_notes() -> None:
    pretty_midi = pytest.importorskip("pretty_midi")
    notes = waltz()
    midi = pretty_midi.PrettyMIDI(io.BytesIO(write_midi(notes, notate(notes))))
    found = sorted((n.start, n.pitch) for instrument in midi.instruments for n in instrument.notes)
    assert np.allclose([start for start, _ in found], [n.onset_s for n in sorted(notes)], atol=0.001)


def test_a_measure_longer_than_midi_can_count_is_told_roughly() -> None:
    score = notate(waltz())
    first, *others = score.parts[0].measures
    endless = replace(first, duration=Fraction(4001, 16))
    parts = (replace(score.parts[0], measures=(endless, *others)), *score.parts[1:])
    file = mido.MidiFile(file=io.BytesIO(write_score_midi(replace(score, parts=parts))))
    told = [(m.numerator, m.denominator) for m in file.tracks[0] if m.type == "time_signature"]
    assert (250, 4) in told
