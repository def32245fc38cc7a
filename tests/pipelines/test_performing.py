"""From scores to performed, damaged audio: what matters is that the truth stays true."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.corpora.scores import read_notes, score_files
from pipelines.performing.damage import damage
from pipelines.performing.expression import Performance, perform
from pipelines.performing.parametric import ParametricPiano
from pipelines.performing.pianos import HELD_OUT, LEAD_IN, TRAINING_SHARES, Piano, align
from pipelines.performing.sampler import Tuning, draw_tuning, render
from pipelines.performing.textures import improvise
from services.amt.contract import PITCHES, SAMPLE_RATE_HZ

SCORE = """<?xml version="1.0"?>
<score-partwise version="4.0">
<part-list><score-part id="P1"><part-name>Piano</part-name></score-part></part-list>
<part id="P1"><measure number="1"><attributes><divisions>1</divisions>
<time><beats>4</beats><beat-type>4</beat-type></time>
<clef><sign>G</sign><line>2</line></clef></attributes>
<note><pitch><step>C</step><octave>4</octave></pitch><duration>2</duration><type>half</type></note>
<note><pitch><step>F</step><alter>1</alter><octave>4</octave></pitch><duration>2</duration><type>half</type></note>
</measure></part></score-partwise>"""


def test_reads_a_score(tmp_path: Path) -> None:
    path = tmp_path / "score.musicxml"
    path.write_text(SCORE)
    (tmp_path / "notes.txt").write_text("not a score")
    assert score_files(tmp_path) == [path]
    notes = read_notes(path)
    assert notes[:, 2].tolist() == [60, 66]
    assert notes[0, 1] == pytest.approx(notes[1, 0], abs=0.01)


def test_a_file_that_is_no_score_gives_no_notes(tmp_path: Path) -> None:
    path = tmp_path / "broken.xml"
    path.write_text("<no/>")
    assert len(read_notes(path)) == 0


def test_no_instrument_is_both_trained_on_and_held_out() -> None:
    assert not set(HELD_OUT) & set(TRAINING_SHARES)


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_one_key_plays_one_note_at_a_time(seed: int) -> None:
    random = np.random.default_rng(seed)
    performance = perform(random, improvise(random, 12.0), 12.0)
    notes = performance.notes
    assert np.all(np.diff(notes[:, 0]) >= 0)
    assert np.all(notes[:, 2] > notes[:, 0])
    assert np.all((notes[:, 3] >= 21) & (notes[:, 3] <= 108))
    assert np.all((notes[:, 4] >= 1) & (notes[:, 4] <= 127))
    for pitch in np.unique(notes[:, 3]):
        same = notes[notes[:, 3] == pitch]
        assert np.all(same[1:, 0] > same[:-1, 2])


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_the_pedal_holds_what_is_released_under_it(seed: int) -> None:
    random = np.random.default_rng(seed)
    performance = perform(random, improvise(random, 12.0), 12.0)
    for onset, release, offset, pitch, _ in performance.notes:
        if offset <= release + 1e-3:
            continue
        ups = performance.pedals[:, 1]
        struck = performance.notes[performance.notes[:, 3] == pitch, 0]
        ends = np.concatenate([ups, struck[struck > onset] - 0.002])
        assert np.min(np.abs(ends - offset)) < 1e-3


def _dry(pitches: int = PITCHES) -> Tuning:
    return Tuning(
        rates=np.ones(pitches),
        damper_s=np.full(pitches, 0.03),
        dynamics=1.0,
        layer_shift=0.0,
        sympathy=0.0,
        noise=0.0,
    )


@pytest.mark.parametrize("pitch", [21, 60, 108])
@pytest.mark.parametrize("onset_s", [0.5, 0.73219])
def test_notes_sound_when_the_truth_says(piano: Piano, pitch: int, onset_s: float) -> None:
    notes = np.array([[onset_s, onset_s + 0.4, onset_s + 0.4, pitch, 64]], np.float32)
    performance = Performance(notes, np.zeros((0, 3), np.float32))
    sound = np.abs(render(np.random.default_rng(0), performance, piano, _dry(), 2.0))
    begins = np.argmax(sound > 0.1 * sound.max()) / SAMPLE_RATE_HZ
    assert begins == pytest.approx(onset_s, abs=0.001)
    after = sound[int((onset_s + 0.4 + 6 * 0.03) * SAMPLE_RATE_HZ) :].max()
    assert after < 0.02 * sound.max()


def test_a_piece_is_the_same_each_time_it_is_made(piano: Piano) -> None:
    def play() -> np.ndarray:
        random = np.random.default_rng(5)
        performance = perform(random, improvise(random, 4.0), 4.0)
        return render(random, performance, piano, draw_tuning(random), 4.0)

    assert np.array_equal(play(), play())


def test_alignment_puts_every_onset_in_one_place() -> None:
    sound = np.zeros(20_000, np.float32)
    for late in (0, 40, 700):
        sound[:] = 0
        sound[late : late + 5_000] = 0.5
        assert np.argmax(align(sound) > 0.05) == LEAD_IN


def test_computed_pianos_differ_by_seed_and_grow_louder() -> None:
    one, other = ParametricPiano(1), ParametricPiano(2)
    assert np.array_equal(one.strike(60, 64, 0.5), ParametricPiano(1).strike(60, 64, 0.5))
    assert not np.allclose(one.strike(60, 64, 0.5), other.strike(60, 64, 0.5))
    soft, loud = (np.abs(one.strike(60, velocity, 0.5)).max() for velocity in (30, 100))
    assert loud > 2 * soft


@pytest.mark.parametrize("seed", range(24))
def test_damage_moves_nothing_in_time(seed: int) -> None:
    sound = np.zeros(3 * SAMPLE_RATE_HZ, np.float32)
    time_s = np.arange(4_000) / SAMPLE_RATE_HZ
    click = np.sin(2 * np.pi * 700 * time_s) * np.exp(-time_s / 0.05)
    sound[SAMPLE_RATE_HZ : SAMPLE_RATE_HZ + 4_000] = click
    damaged = damage(np.random.default_rng(seed), sound)
    assert damaged.shape == sound.shape
    assert np.all(np.isfinite(damaged))
    before = np.abs(damaged[: SAMPLE_RATE_HZ - 160]).max()
    attack = np.abs(damaged[SAMPLE_RATE_HZ : SAMPLE_RATE_HZ + 480]).max()
    assert attack > 2 * before
