"""Assembly on small pages: clefs, keys, accidentals, measures, parts and ties as a reader would have them."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from services.music.score import Barline, Clef, ClefSign
from services.omr.assembly import RecognisedPage, assemble
from services.omr.assembly.recognition import Recognition, Role
from services.omr.page import PreparedPage
from services.omr.vocabulary import SymbolClass as S
from tests.omr.printed_pages import KEY_SHIFTS, Paper, sure


def names(recognition: Recognition, measure: int | None = None) -> list[str]:
    """Pitches in the order of the music, such as `F#4`."""
    signs = {-2: "bb", -1: "b", 0: "", 1: "#", 2: "##"}
    return [
        f"{note.pitch.step}{signs[note.pitch.alter]}{note.pitch.octave}"
        for note in recognition.notes
        if measure is None or note.measure == measure
    ]


def treble(systems: int = 1) -> Paper:
    """Systems of one staff with a treble clef."""
    paper = Paper(systems=systems, staves=1)
    for staff in range(systems):
        paper.clef(S.G_CLEF, 70, staff)
    return paper


def piano(systems: int = 1) -> Paper:
    """Systems of two staves with treble and bass clef."""
    paper = Paper(systems=systems, staves=2)
    for system in range(systems):
        paper.clef(S.G_CLEF, 70, 2 * system)
        paper.clef(S.F_CLEF, 70, 2 * system + 1)
    return paper


def test_notes_have_pitch_place_and_box() -> None:
    paper = treble()
    paper.metre(4, 4, 100, 0)
    for i, position in enumerate((-6, 0, 4, 6)):
        paper.note(200 + 80 * i, 0, position)
    paper.barline(560, 0)
    recognition = assemble([paper.page()])
    assert names(recognition) == ["C4", "B4", "F5", "A5"]
    assert [note.onset for note in recognition.notes] == [0, 1, 2, 3]
    assert {note.duration for note in recognition.notes} == {Fraction(1)}
    first = recognition.notes[0]
    assert (first.box.x, first.box.width) == (2 * (200 - 6), 24)
    assert first.measure_number == 1
    assert recognition.pages[0].symbols[first.symbol].role is Role.NOTE
    assert recognition.pages[0].symbols[first.symbol].note == 0
    assert recognition.pages[0].systems[0].measures[0].adds_up


@pytest.mark.parametrize(("line", "expected"), [(-4, "G4"), (-2, "E4"), (0, "C4"), (2, "A3"), (4, "F3")])
def test_c_clefs_on_any_line(line: int, expected: str) -> None:
    paper = Paper(staves=1)
    paper.clef(S.C_CLEF, 70, 0, line)
    paper.note(200, 0, 0, "whole")
    recognition = assemble([paper.page()])
    assert names(recognition) == [expected]
    assert recognition.score is not None
    assert recognition.score.parts[0].measures[0].clefs[0].clef == Clef(ClefSign.C, 3 + line // 2)


def test_a_clef_in_the_measure_holds_from_there() -> None:
    paper = treble()
    paper.note(200, 0, 0, "half")
    paper.clef(S.F_CLEF, 300, 0)
    paper.note(350, 0, 0, "half")
    paper.barline(500, 0)
    paper.note(550, 0, 0, "whole")
    recognition = assemble([paper.page()])
    assert names(recognition) == ["B4", "D3", "D3"]
    assert recognition.score is not None
    changes = [(c.onset, c.clef.sign) for m in recognition.score.parts[0].measures for c in m.clefs]
    assert changes == [(0, ClefSign.G), (2, ClefSign.F)]


@pytest.mark.parametrize(
    ("kind", "confidence", "width", "height", "believed"),
    [
        (S.F_CLEF, 0.3, 18, 21, True),
        (S.F_CLEF, 0.3, 12, 24, False),
        (S.F_CLEF, 0.2, 18, 21, False),
        (S.F_CLEF, 0.5, 12, 15, True),
        (S.C_CLEF, 0.3, 18, 30, False),
        (S.C_CLEF, 0.5, 18, 30, True),
    ],
)
def test_a_clef_seen_unsurely_is_believed_in_full_size(
    kind: S, confidence: float, width: float, height: float, believed: bool
) -> None:
    paper = treble()
    paper.note(200, 0, 0, "half")
    paper.add(kind, 300, 0, 0.5, position=0, confidence=confidence, width=width, height=height)
    paper.note(350, 0, 0, "half")
    changed = {S.F_CLEF: "D3", S.C_CLEF: "C4"}[kind]
    assert names(assemble([paper.page()])) == ["B4", changed if believed else "B4"]


def test_a_system_without_a_clef_takes_the_one_before() -> None:
    paper = Paper(systems=2, staves=1)
    paper.clef(S.F_CLEF, 70, 0)
    paper.note(200, 0, 0, "whole")
    paper.note(200, 1, 0, "whole")
    assert names(assemble([paper.page()])) == ["D3", "D3"]


def test_a_first_system_without_a_clef_takes_the_one_after() -> None:
    paper = Paper(systems=2, staves=1)
    paper.note(200, 0, 0, "whole")
    paper.clef(S.F_CLEF, 70, 1)
    paper.note(200, 1, 0, "whole")
    assert names(assemble([paper.page()])) == ["D3", "D3"]


@pytest.mark.parametrize("clef", [S.G_CLEF, S.F_CLEF, S.C_CLEF])
@pytest.mark.parametrize("fifths", range(-7, 8))
def test_every_key_under_every_clef(clef: S, fifths: int) -> None:
    paper = Paper(staves=1)
    paper.clef(clef, 70, 0)
    paper.key(fifths, 95, 0, clef)
    paper.note(300, 0, 0, "whole")
    recognition = assemble([paper.page()])
    assert recognition.score is not None
    assert recognition.score.key.fifths == fifths


def test_a_sign_missed_on_one_staff_changes_no_key() -> None:
    paper = piano()
    paper.key(-3, 95, 0, S.G_CLEF)
    paper.key(-3, 95, 1, S.F_CLEF, missed=frozenset({1}))
    paper.note(300, 0, 3, "whole")
    paper.note(300, 1, 1, "whole")
    assert names(assemble([paper.page()])) == ["Eb5", "Eb3"]


def test_lines_that_show_the_key_tell_it_for_a_line_that_does_not() -> None:
    paper = piano(systems=3)
    for staff, clef in enumerate((S.G_CLEF, S.F_CLEF) * 3):
        if staff != 2:
            paper.key(-1, 95, staff, clef, missed=frozenset({0}) if staff == 3 else frozenset())
        paper.note(300, staff, KEY_SHIFTS[clef], "whole")
    assert names(assemble([paper.page()])) == ["Bb4", "Bb2"] * 3


def test_naturals_cancel_a_key_in_the_line() -> None:
    paper = treble()
    paper.key(2, 95, 0, S.G_CLEF)
    paper.note(200, 0, 4, "whole")
    paper.barline(300, 0)
    paper.sign(S.NATURAL, 312, 0, 4)
    paper.sign(S.NATURAL, 322, 0, 1)
    paper.note(400, 0, 4, "whole")
    recognition = assemble([paper.page()])
    assert names(recognition) == ["F#5", "F5"]
    assert recognition.score is not None
    keys = [measure.key for measure in recognition.score.parts[0].measures]
    assert [key.fifths for key in keys if key] == [2, 0]


def test_a_natural_before_the_first_note_of_a_line_is_the_notes() -> None:
    paper = treble()
    paper.key(2, 95, 0, S.G_CLEF)
    paper.sign(S.NATURAL, 135, 0, 4)
    paper.note(155, 0, 4, "half")
    paper.note(255, 0, 1, "half")
    paper.barline(350, 0)
    paper.note(400, 0, 4, "whole")
    assert names(assemble([paper.page()])) == ["F5", "C#5", "F#5"]


def test_an_accidental_holds_in_its_measure_and_octave() -> None:
    paper = treble()
    paper.sign(S.SHARP, 180, 0, -3)
    for i, position in enumerate((-3, 4, -3, -3)):
        paper.note(200 + 60 * i, 0, position)
    paper.barline(450, 0)
    paper.note(500, 0, -3, "whole")
    assert names(assemble([paper.page()])) == ["F#4", "F5", "F#4", "F#4", "F4"]


def test_a_sharp_where_the_key_has_a_flat_is_a_natural() -> None:
    paper = treble()
    paper.key(-2, 95, 0, S.G_CLEF)
    paper.sign(S.SHARP, 280, 0, 0)
    paper.note(300, 0, 0, "half")
    paper.sign(S.SHARP, 380, 0, 4)
    paper.note(400, 0, 4, "half")
    assert names(assemble([paper.page()])) == ["B4", "F#5"]


def test_what_looks_like_a_head_inside_a_surer_symbol_is_none() -> None:
    paper = treble()
    paper.note(71, 0, -6, confidence=0.4)  # the foot of the clef
    paper.add(S.BEAM, 204, 0, 6, width=14.0, height=7.0, confidence=0.8)
    paper.note(204, 0, 6, confidence=0.5)  # a stub of a beam
    paper.note(200, 0, 0, "whole")
    paper.note(300, 0, 2, confidence=0.2)  # hardly seen at all
    assert names(assemble([paper.page()])) == ["B4"]


def test_a_dot_that_was_seen_lengthens_its_note() -> None:
    paper = treble()
    unsure = (float(np.log(0.6)), float(np.log(0.38)), float(np.log(0.02)))
    paper.note(200, 0, -2, "half", dots=unsure)
    paper.add(S.AUGMENTATION_DOT, 213, 0, -1, width=4.0, height=4.0)
    paper.note(350, 0, 0, "quarter")
    assert [note.duration for note in assemble([paper.page()]).notes] == [3, 1]


@pytest.mark.parametrize(("confidence", "tuplet"), [(0.95, 1), (0.5, 0)])
def test_a_figure_makes_a_triplet_where_its_notes_agree(confidence: float, tuplet: int) -> None:
    paper = treble()
    paper.metre(2, 4, 100, 0)
    for i in range(3):
        paper.note(200 + 40 * i, 0, -4, "eighth", tuplet=sure(tuplet, 3))
        paper.add(S.STEM, 206 + 40 * i, 0, 0, width=1.0, height=36.0)
    paper.add(S.BEAM, 246, 0, 3, width=82.0, height=5.0)
    paper.add(S.TUPLET_3, 246, 0, 7, confidence=confidence)
    paper.note(340, 0, 0, "quarter" if tuplet else "eighth")
    durations = [note.duration for note in assemble([paper.page()]).notes[:3]]
    assert durations == [Fraction(1, 3) if tuplet else Fraction(1, 2)] * 3


def test_accidentals_stacked_far_left_reach_their_heads() -> None:
    paper = treble()
    paper.sign(S.FLAT, 150, 0, -3)
    paper.sign(S.SHARP, 165, 0, -1)
    paper.sign(S.NATURAL, 185, 0, 1)
    for position in (-3, -1, 1):
        paper.note(200, 0, position, "whole")
    assert names(assemble([paper.page()])) == ["Fb4", "A#4", "C5"]


def test_a_tie_over_the_barline_keeps_the_alteration_for_itself() -> None:
    paper = treble()
    paper.sign(S.SHARP, 180, 0, -3)
    paper.note(200, 0, -3, "whole", tied_on=0.95)
    paper.barline(300, 0)
    paper.note(350, 0, -3, "half", tied_back=0.95)
    paper.note(450, 0, -3, "half")
    recognition = assemble([paper.page()])
    assert names(recognition) == ["F#4", "F#4", "F4"]
    assert [(note.tied_back, note.tied_on) for note in recognition.notes] == [
        (False, True),
        (True, False),
        (False, False),
    ]


def test_a_tie_that_only_one_end_shows_faintly_is_none() -> None:
    paper = treble()
    paper.note(200, 0, -3, "half", tied_on=0.6)
    paper.note(300, 0, -3, "half")
    assert not any(note.tied_on for note in assemble([paper.page()]).notes)


def test_ends_of_ties_seen_beside_heads_join_them() -> None:
    paper = treble()
    paper.note(200, 0, -3, "half", tied_on=0.45)
    paper.note(300, 0, -3, "half", tied_back=0.45)
    paper.add(S.TIE_START, 208, 0, -4)
    paper.add(S.TIE_END, 292, 0, -4)
    assert assemble([paper.page()]).notes[0].tied_on


def test_barlines_missed_on_a_staff_and_stems_taken_for_barlines() -> None:
    paper = piano()
    for staff in (0, 1):
        paper.note(200, staff, 0, "half")
        paper.note(300, staff, 0, "half")
        paper.note(500, staff, 0, "whole")
    paper.barline(400, 0)  # seen on one staff alone
    paper.barline(206, 1)  # a stem, on one staff alone
    recognition = assemble([paper.page()])
    assert [len(names(recognition, measure)) for measure in (0, 1)] == [4, 2]


def test_repeats_and_final_barlines_are_kept() -> None:
    paper = treble()
    paper.barline(110, 0, kind=S.REPEAT_LEFT)
    paper.note(200, 0, 0, "whole")
    paper.barline(300, 0, kind=S.REPEAT_RIGHT)
    paper.barline(312, 0, kind=S.REPEAT_LEFT)
    paper.note(400, 0, 0, "whole")
    paper.barline(500, 0, kind=S.BARLINE_DOUBLE)
    paper.note(600, 0, 0, "whole")
    paper.barline(700, 0, kind=S.BARLINE_FINAL)
    score = assemble([paper.page()]).score
    assert score is not None
    measures = score.parts[0].measures
    assert [m.barline for m in measures] == [Barline.REPEAT_END, Barline.DOUBLE, Barline.FINAL]
    assert [m.opens_repeat for m in measures] == [True, True, False]


def test_a_chord_with_a_second_is_one_chord_and_voices_are_two() -> None:
    paper = treble()
    for position, x in ((0, 200), (1, 212), (4, 200)):
        paper.note(x, 0, position, "half", stem=(np.log(0.01), np.log(0.98), np.log(0.01)))
    paper.note(200, 0, -5, "half", stem=(np.log(0.01), np.log(0.01), np.log(0.98)))
    recognition = assemble([paper.page()])
    assert {note.onset for note in recognition.notes} == {0}
    assert len({note.voice for note in recognition.notes}) == 2
    assert {note.pitch.step for note in recognition.notes if note.voice == 1} == {"B", "C", "F"}


def test_a_head_between_two_staves_belongs_where_it_reads() -> None:
    paper = piano()
    paper.note(200, 0, -10, "whole", position=-10)  # half way to the lower staff, where it is at +10
    paper.note(400, 0, -10, "whole", position=10)
    recognition = assemble([paper.page()])
    assert [(note.staff, note.pitch.step) for note in recognition.notes] == [(1, "F"), (2, "G")]


def test_grace_notes_stand_before_what_follows() -> None:
    paper = treble()
    paper.note(180, 0, 1, "eighth", grace=0.97)
    paper.note(200, 0, 0, "whole")
    recognition = assemble([paper.page()])
    assert [(note.grace, note.duration) for note in recognition.notes] == [(True, 0), (False, 4)]


def song(with_voice: tuple[bool, ...]) -> list[RecognisedPage]:
    """One page for each system: a voice over a piano, the voice left out where it is silent."""
    pages = []
    for sings in with_voice:
        paper = Paper(staves=3, groups=((0, 0), (1, 2))) if sings else Paper(staves=2)
        clefs = [S.G_CLEF, S.G_CLEF, S.F_CLEF] if sings else [S.G_CLEF, S.F_CLEF]
        for staff, clef in enumerate(clefs):
            paper.clef(clef, 70, staff)
            paper.note(200, staff, 0, "whole")
        pages.append(paper.page())
    return pages


def test_staves_left_out_are_silent_in_the_score() -> None:
    recognition = assemble(song((False, True, False, True)))
    score = recognition.score
    assert score is not None
    assert [(part.staves, len(part.measures)) for part in score.parts] == [(1, 4), (2, 4)]
    assert [(note.part, note.staff, note.measure) for note in recognition.notes if note.part == 0] == [
        (0, 1, 1),
        (0, 1, 3),
    ]
    assert [staff.part for staff in recognition.pages[0].systems[0].staves] == [1, 1]


def test_metres_are_read_with_two_figures_and_as_signs() -> None:
    paper = treble()
    for figure in (1, 2):
        paper.add(S(f"timeSig{figure}"), 95 + 10 * figure, 0, 2)
    paper.add(S.TIME_8, 110, 0, -2)
    for i in range(4):
        paper.note(200 + 60 * i, 0, 0, "quarter", dots=(np.log(0.01), np.log(0.98), np.log(0.01)))
    paper.barline(450, 0)
    paper.add(S.TIME_CUT, 470, 0, 0)
    paper.note(520, 0, 0, "whole")
    score = assemble([paper.page()]).score
    assert score is not None
    metres = [measure.metre for measure in score.parts[0].measures if measure.metre]
    assert [(metre.beats, metre.beat_type) for metre in metres] == [(12, 8), (2, 2)]


def test_pages_without_staves_or_notes_give_an_empty_answer() -> None:
    blank = PreparedPage(np.full((10, 10), 255, np.uint8), (10, 10), 10.0, np.zeros((2, 2)), np.zeros((2, 2)))
    nothing = assemble([RecognisedPage(blank, (), ())])
    assert (nothing.score, nothing.notes, nothing.pages[0].systems) == (None, (), ())
    staves_alone = assemble([piano().page()])
    assert staves_alone.score is None
    assert len(staves_alone.pages[0].systems[0].staves) == 2
    assert assemble([]).pages == ()


def test_symbols_far_from_all_staves_are_told_and_unused() -> None:
    paper = treble()
    paper.note(200, 0, 0, "whole")
    page = paper.page()
    stray = replace(paper.symbols[-1], y=390.0, position=0)
    recognition = assemble([replace(page, symbols=(*page.symbols, stray))])
    assert len(recognition.notes) == 1
    assert recognition.pages[0].symbols[-1].role is Role.UNUSED
    assert recognition.pages[0].symbols[-1].staff is None


def test_decisions_tell_their_evidence() -> None:
    paper = treble()
    paper.key(1, 95, 0, S.G_CLEF)
    paper.metre(4, 4, 130, 0)
    paper.note(200, 0, 0, "whole")
    decisions = {decision.step: decision for decision in assemble([paper.page()]).decisions}
    assert decisions["key"].value == "1"
    assert decisions["key"].evidence["signs"] == 1
    assert decisions["metre"].value == "4/4"
