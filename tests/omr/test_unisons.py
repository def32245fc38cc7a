"""Unisons: a head with a stem up and another down is a note of two voices."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from services.omr.assembly import assemble
from services.omr.assembly.recognition import FoundNote
from services.omr.vocabulary import SymbolClass as S
from tests.omr.printed_pages import SPACE_PX, Paper

STEM_PX = 35.0
#: What a head with both stems reads, of no stem, up and down; and of a quarter note and an eighth.
EITHER_STEM = tuple(np.log((0.01, 0.55, 0.44)))
EITHER_VALUE = tuple(np.log((0.002, 0.002, 0.4, 0.59, 0.002, 0.002, 0.002)))


def stem(paper: Paper, x: float, at: float, *, up: bool) -> None:
    """Draw the stem of a head."""
    side, end = (6.0, 1.0) if up else (-6.0, -1.0)
    middle = at + end * STEM_PX / SPACE_PX
    paper.add(S.STEM, x + side, 0, middle, width=1.5, height=STEM_PX)


def unison(paper: Paper, x: float, at: float, **fields: object) -> None:
    """Write a head on two stems."""
    paper.note(x, 0, at, **({"stem": EITHER_STEM, "durations": EITHER_VALUE} | fields))
    stem(paper, x, at, up=True)
    stem(paper, x, at, up=False)


def melody_in_its_accompaniment(**third: object) -> Paper:
    """Four eighths under one beam; the first and third are quarter notes of the lower voice as well."""
    paper = Paper(staves=1)
    paper.clef(S.G_CLEF, 70, 0)
    paper.metre(2, 4, 100, 0)
    for place, at in enumerate((-4, -1, -4, -1)):
        x = 200.0 + 60 * place
        if place % 2:
            paper.note(x, 0, at, "eighth")
            stem(paper, x, at, up=True)
        else:
            unison(paper, x, at, **(third if place else {}))
    paper.add(S.BEAM, 296, 0, -2.5 + 2 * STEM_PX / SPACE_PX, width=180.0, height=16.0)
    paper.barline(480, 0)
    return paper


def told(notes: tuple[FoundNote, ...]) -> list[tuple[int, Fraction, Fraction, str]]:
    return [(each.voice, each.onset, each.duration, each.pitch.step) for each in notes]


def test_a_head_on_two_stems_is_a_note_of_two_voices() -> None:
    paper = melody_in_its_accompaniment()
    recognition = assemble([paper.page()])
    half = Fraction(1, 2)
    assert sorted(told(recognition.notes)) == [
        (1, Fraction(0), half, "E"),
        (1, half, half, "A"),
        (1, Fraction(1), half, "E"),
        (1, 3 * half, half, "A"),
        (2, Fraction(0), Fraction(1), "E"),
        (2, Fraction(1), Fraction(1), "E"),
    ]
    assert recognition.pages[0].systems[0].measures[0].adds_up
    heads = [each.symbol for each in recognition.notes]
    assert len(heads) == 6
    assert len(set(heads)) == 4


def test_a_stem_that_passes_a_head_which_is_sure_of_its_own_makes_no_unison() -> None:
    paper = Paper(staves=1)
    paper.clef(S.G_CLEF, 70, 0)
    paper.note(200, 0, -4)
    stem(paper, 200, -4, up=True)
    stem(paper, 200, -4, up=False)
    assert len(assemble([paper.page()]).notes) == 1


@pytest.mark.parametrize("up", [True, False])
def test_a_head_in_doubt_about_its_one_stem_is_no_unison(up: bool) -> None:
    paper = Paper(staves=1)
    paper.clef(S.G_CLEF, 70, 0)
    paper.note(200, 0, -4, stem=EITHER_STEM)
    stem(paper, 200, -4, up=up)
    assert len(assemble([paper.page()]).notes) == 1


def test_the_other_heads_of_a_chord_tell_its_value() -> None:
    """A unison within chords: what stands on one of its stems alone knows how long that chord is."""
    paper = Paper(staves=1)
    paper.clef(S.G_CLEF, 70, 0)
    unison(paper, 200, -4)
    paper.note(200, 0, -6, "quarter", stem=tuple(np.log((0.01, 0.01, 0.98))))
    paper.note(200, 0, -1, "eighth", stem=tuple(np.log((0.01, 0.98, 0.01))))
    notes = assemble([paper.page()]).notes
    assert {(each.pitch.step, each.duration) for each in notes} == {
        ("E", Fraction(1)),
        ("C", Fraction(1)),
        ("E", Fraction(1, 2)),
        ("A", Fraction(1, 2)),
    }


def test_a_tie_is_of_the_note_that_lasts_until_the_next_head() -> None:
    paper = melody_in_its_accompaniment(tied_on=0.98)
    paper.note(560, 0, -4, "half", tied_back=0.98)
    stem(paper, 560, -4, up=True)
    paper.barline(700, 0)
    notes = assemble([paper.page()]).notes
    tied = [(each.voice, each.onset, each.duration) for each in notes if each.tied_on]
    assert tied == [(2, Fraction(1), Fraction(1))]
    assert [each.tied_back for each in notes if each.measure == 1] == [True]
