"""Random notation: every measure is full, what is printed says what sounds, and Verovio draws all of it."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice
from random import Random

import pytest
import verovio

from pipelines.engraving.mei import flat
from pipelines.engraving.random_scores import random_piece, random_scores
from pipelines.engraving.rhythms import METRES, Metre, laid_out, patterns_for, written
from pipelines.engraving.spelling import altered_steps, in_order

SEEDS = range(12)


@pytest.mark.parametrize("metre", METRES, ids=lambda metre: f"{metre.count}/{metre.unit}")
def test_patterns_fill_every_beat(metre: Metre) -> None:
    for beat in metre.beats:
        table = patterns_for(beat)
        assert table
        for pattern in table:
            assert sum(item.duration for item in laid_out(pattern, beat)) == beat, pattern


def test_only_single_values_are_written() -> None:
    assert written(Fraction(3, 2)) == (4, 1)
    assert written(Fraction(7, 8)) == (8, 2)
    assert written(Fraction(5, 4)) is None
    assert written(Fraction(1, 32)) is None


@pytest.mark.parametrize("seed", SEEDS)
def test_layers_of_a_measure_last_equally_long(seed: int) -> None:
    for measure in random_piece(Random(seed)).measures:
        lengths = {
            sum((item.duration for item in layer.items), Fraction(0))
            for layers in measure.staves
            for layer in layers
            if layer.items
        }
        assert len(lengths) <= 1


@pytest.mark.parametrize("seed", SEEDS)
def test_signs_say_what_sounds(seed: int) -> None:
    """Reads the signs as a player does: key, then what the measure said; a tied note sounds on."""
    piece = random_piece(Random(seed))
    key = _key(piece.opening)
    held: dict[tuple[int, int, int], int] = {}
    for measure in piece.measures:
        key = _key(measure.change) if "keysig=" in measure.change else key
        said: dict[tuple[int, int], int] = {}
        for event, staff, layer in in_order(measure):
            for head in (head for each in (*event.graces, event) for head in each.heads):
                place, voiced = (event.staff or staff, head.diatonic), (staff, layer, head.diatonic)
                if head.tie in ("m", "t"):
                    assert (head.sign, head.alter) == (False, held[voiced])
                    continue
                if head.sign:
                    said[place] = head.alter
                held[voiced] = head.alter
                assert head.alter == said.get(place, altered_steps(key).get(head.diatonic % 7, 0))


def _key(attributes: str) -> int:
    text = attributes.split('keysig="')[1].split('"', maxsplit=1)[0]
    return 0 if text == "0" else int(text[0]) * (1 if text[1] == "s" else -1)


def test_verovio_draws_every_note() -> None:
    verovio.enableLog(verovio.LOG_OFF)
    for name, text in islice(random_scores(5), 4):
        toolkit = verovio.toolkit()
        toolkit.setOptions({"breaks": "none"})
        assert toolkit.loadData(text), name
        drawn = toolkit.renderToSVG(1).count('class="note"')
        assert drawn == text.count("<note "), name


def test_rare_things_are_common() -> None:
    text = "".join(music for _, music in islice(random_scores(1), 40))
    for what in (
        'dur="64"', 'dots="2"', 'grace="unacc"', 'grace="acc"', 'accid="x"', 'accid="ff"', 'num="7"',
        'num="5"', 'num.visible="false"', 'shape="C"', 'dis.place="below"', 'meter.sym="cut"', "<ending",
        'right="rptboth"', 'tie="m"', "<octave", "<pedal", "<fermata", "<trill", 'enclose="paren"',
        "breaksec", "<mRest", "<space",
    ):  # fmt: skip
        assert text.count(what) >= 5, what


def test_the_same_seed_gives_the_same_music() -> None:
    first, again = (list(islice(random_scores(3), 2)) for _ in range(2))
    assert first == again
    assert any(event.heads for event in flat(random_piece(Random(1)).measures[0].staves[0][0].items))
