"""Notation of performed notes: small pieces with known answers, and what holds for any notes."""

from __future__ import annotations

import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.errors import NotationError, UnknownOptionError
from services.music.notate import NotationOptions, notate
from services.music.notes import Note
from services.music.rhythm import Quantise
from services.music.score import Chord, Rest, Score
from tests.music.examples import BEAT_S, any_notes, march, played, waltz


def written(score: Score, staff: int) -> list[tuple[Fraction, Fraction, tuple[int, ...]]]:
    """Position, length and pitches of every chord of a staff."""
    return [
        (position, chord.duration, tuple(head.pitch.midi for head in chord.heads))
        for position, voice, chord in score.chords()
        if voice.staff == staff
    ]


def test_waltz_is_in_three_four_and_g_major() -> None:
    score = notate(waltz())
    assert (score.metre.beats, score.metre.beat_type) == (3, 4)
    assert score.key.name == "G major"
    assert score.tempo.bpm == pytest.approx(100, rel=0.02)
    assert len(score.parts[0].measures) == 8


def test_waltz_reads_as_it_was_played() -> None:
    score = notate(waltz(), NotationOptions(tempo_bpm=100))
    assert written(score, 1)[:2] == [(0, 2, (79,)), (2, 1, (76,))]
    assert written(score, 2)[:3] == [(0, 1, (43,)), (1, 1, (59, 62)), (2, 1, (59, 62))]


def test_march_has_four_beats_and_flats() -> None:
    score = notate(march())
    assert (score.metre.beats, score.metre.beat_type) == (4, 4)
    assert score.key.name == "E-flat major"
    steps = {head.pitch.step + str(head.pitch.alter) for _, _, c in score.chords() for head in c.heads}
    assert steps <= {"E-1", "F0", "G0", "A-1", "B-1", "C0", "D0"}


def test_triplets_are_bracketed_in_threes() -> None:
    events = [(float(beat), 1.0, (48, 52)) for beat in range(16)]
    events += [(beat + third / 3, 1 / 3, 72 + third) for beat in range(0, 16, 2) for third in range(3)]
    events += [(beat + half / 2, 1 / 2, 76 - half) for beat in range(1, 16, 2) for half in range(2)]
    score = notate(played(events), NotationOptions(tempo_bpm=100))
    triplets = [c for _, voice, c in score.chords() if voice.staff == 1 and c.tuplet]
    assert len(triplets) == 24
    assert [(c.tuplet.opens, c.tuplet.closes) for c in triplets[:3] if c.tuplet] == [
        (True, False),
        (False, False),
        (False, True),
    ]
    assert all(c.duration == Fraction(1, 3) and c.kind == "eighth" for c in triplets)


def test_dotted_beats_in_threes_are_compound() -> None:
    events: list[tuple[float, float, int | tuple[int, ...]]] = []
    for bar in range(12):
        low = 48 if bar % 2 else 43
        events += [(2 * bar, 1.0, low), (2 * bar + 1, 1.0, low + 7)]
        events += [(2 * bar + third / 3, 1 / 3, 67 + (third * 4) % 9) for third in range(6)]
    score = notate(played(events, beat_s=0.8))
    assert score.metre.is_compound
    assert {chord.duration for _, voice, chord in score.chords() if voice.staff == 1} == {Fraction(1, 2)}


def test_upbeat_becomes_a_pickup() -> None:
    upbeat = Note(0.5, 0.5 + 0.95 * BEAT_S, 74, 60)
    later = [Note(n.onset_s + BEAT_S, n.offset_s + BEAT_S, n.pitch, n.velocity) for n in waltz()]
    first = notate([upbeat, *later]).parts[0].measures[0]
    assert first.pickup
    assert first.number == 0
    assert first.duration == 1


def test_pedal_does_not_make_ties() -> None:
    short = waltz()
    pedalled = [Note(n.onset_s, n.onset_s + 1.7, n.pitch, n.velocity) for n in short]
    assert not [head for _, _, chord in notate(pedalled).chords() for head in chord.heads if head.tied_on]


def test_held_melody_over_moving_notes_takes_a_second_voice() -> None:
    events: list[tuple[float, float, int | tuple[int, ...]]] = []
    for bar in range(8):
        events += [(4 * bar + beat, 1.0, 48 + (beat % 2) * 7) for beat in range(4)]
        if bar % 2:
            events += [(4 * bar, 2.0, 76)]
            events += [(4 * bar + half / 2, 0.5, 67 + half % 3) for half in range(1, 4)]
            events += [(4 * bar + beat, 1.0, 74) for beat in (2, 3)]
        else:
            events += [(4 * bar + beat, 1.0, 72 + beat) for beat in range(4)]
    score = notate(played(events), NotationOptions(tempo_bpm=100))
    lengths = {c.duration for _, v, c in score.chords() if v.number == 1 and c.heads[-1].pitch.midi == 76}
    assert lengths == {Fraction(2)}
    assert any(voice.number == 2 for _, voice, _ in score.chords())


def test_tempo_hint_settles_the_beat() -> None:
    slow, fast = (notate(march(), NotationOptions(tempo_bpm=bpm)).tempo.bpm for bpm in (50.0, 200.0))
    assert slow == pytest.approx(50, rel=0.05)
    assert fast == pytest.approx(200, rel=0.05)


def test_tempo_that_slows_down_is_followed() -> None:
    times = 0.5 + np.cumsum(np.append(0.0, 0.5 * 1.012 ** np.arange(63)))
    notes = []
    for beat, onset in enumerate(times.tolist()):
        notes.append(Note(onset, onset + 0.3, 72 + (beat * 5) % 7, 70))
        if beat % 4 == 0:
            notes.append(Note(onset, onset + 0.9, 43 + 2 * (beat % 8), 80))
    beats = np.array(notate(notes).tempo.beats_s)
    distance = np.abs(times[:, None] - beats[None, :]).min(axis=1)
    assert np.mean(distance < 0.05) > 0.95


def test_source_tells_which_performed_note_a_head_writes_down() -> None:
    notes = waltz()
    for _, _, chord in notate(notes).chords():
        for head in chord.heads:
            assert head.source is not None
            assert notes[head.source].pitch == head.pitch.midi


@pytest.mark.parametrize("grid", ["1/8", "1/16", "1/8t", "off"])
def test_grid_is_the_finest_value(grid: str) -> None:
    smallest = {"1/8": Fraction(1, 2), "1/16": Fraction(1, 4), "1/8t": Fraction(1, 6), "off": Fraction(1, 8)}
    rng = np.random.default_rng(3)
    notes = [Note(t, t + 0.2, int(rng.integers(48, 84)), 64) for t in np.cumsum(rng.uniform(0.05, 0.4, 120))]
    score = notate(notes, NotationOptions(tempo_bpm=90, quantise=Quantise(grid)))
    positions = {position % smallest[grid] for position, _, _ in score.chords()}
    assert positions == {0}


def test_no_notes_give_one_empty_measure() -> None:
    score = notate([])
    assert len(score.parts[0].measures) == 1
    assert list(score.chords()) == []


@pytest.mark.parametrize(
    "notes",
    [
        [Note(0.0, 1.0, 60, 64)],
        [Note(0.0, 0.0, 60, 64)] * 3,
        [Note(2.0, 3.0, pitch, 64) for pitch in range(40, 80, 3)],
        [Note(0.0, 1.0, 0, 1), Note(1.0, 2.0, 127, 127)],
        [Note(0.0, 1.0, 60, 64), Note(3000.0, 3001.0, 60, 64)],
        [Note(0.03 * i, 0.03 * i + 0.02, 60, 64) for i in range(200)],
    ],
    ids=["one", "identical", "one chord", "outside the piano", "long silence", "machine gun"],
)
def test_odd_input_is_written_down(notes: list[Note]) -> None:
    score = notate(notes)
    assert list(score.chords())
    assert np.all(np.diff(score.tempo.beats_s) > 0)


@pytest.mark.parametrize("bpm", [0.0, 19.9, 400.1, float("nan"), float("inf")])
def test_absurd_tempo_is_refused(bpm: float) -> None:
    with pytest.raises(UnknownOptionError, match="20 to 400"):
        NotationOptions(tempo_bpm=bpm)


def test_unknown_grid_is_refused() -> None:
    with pytest.raises(UnknownOptionError, match="1/16t"):
        NotationOptions(quantise="1/7")  # type: ignore[arg-type]


@pytest.mark.parametrize("onset", [float("nan"), float("inf"), 1e9])
def test_impossible_time_is_refused(onset: float) -> None:
    with pytest.raises(NotationError):
        notate([Note(onset, 1.0, 60, 64)])


@pytest.mark.parametrize("pitch", [-1, 128])
def test_impossible_pitch_is_refused(pitch: int) -> None:
    with pytest.raises(NotationError, match="0 to 127"):
        notate([Note(0.0, 1.0, pitch, 64)])


@settings(max_examples=60)
@given(any_notes(), st.sampled_from(list(Quantise)))
def test_every_voice_fills_its_measure(notes: list[Note], quantise: Quantise) -> None:
    score = notate(notes, NotationOptions(quantise=quantise))
    for measure in score.parts[0].measures:
        assert {voice.staff for voice in measure.voices} == {1, 2}
        for voice in measure.voices:
            now = Fraction(0)
            for event in voice.events:
                assert event.onset == now
                assert event.duration > 0
                now += event.duration
                ratio = Fraction(event.tuplet.normal, event.tuplet.actual) if event.tuplet else Fraction(1)
                value = event.kind.quarters * (2 - Fraction(1, 2**event.dots)) * ratio
                whole = isinstance(event, Rest) and event.whole_measure
                assert whole or value == event.duration
            assert now == measure.duration


@settings(max_examples=60)
@given(any_notes())
def test_ties_join_equal_pitches_without_gap(notes: list[Note]) -> None:
    score = notate(notes)
    starts = score.measure_starts()
    for staff in (1, 2):
        for number in (1, 2):
            open_ties: set[int] = set()
            for start, measure in zip(starts, score.parts[0].measures, strict=False):
                voices = [v for v in measure.voices if (v.staff, v.number) == (staff, number)]
                if not voices:
                    assert not open_ties, f"a tie leads nowhere at {start}"
                for event in voices[0].events if voices else ():
                    heads = event.heads if isinstance(event, Chord) else ()
                    assert {h.pitch.midi for h in heads if h.tied_back} == open_ties
                    open_ties = {h.pitch.midi for h in heads if h.tied_on}
            assert not open_ties


@settings(max_examples=60)
@given(any_notes())
def test_each_pitch_is_written_where_it_was_played(notes: list[Note]) -> None:
    for _, _, chord in notate(notes).chords():
        for head in chord.heads:
            assert head.source is not None
            assert notes[head.source].pitch == head.pitch.midi


@pytest.mark.slow
def test_an_hour_of_notes_takes_seconds() -> None:
    rng = np.random.default_rng(1)
    onsets = np.cumsum(rng.choice([0.15, 0.3, 0.15, 0.15], 20_000))
    notes = [Note(t, t + 0.4, int(p), 64) for t, p in zip(onsets, rng.integers(36, 90, 20_000), strict=True)]
    started = time.process_time()
    notate(notes)
    assert time.process_time() - started < 10
