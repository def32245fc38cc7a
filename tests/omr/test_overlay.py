"""The coloured page: colours where notes are, ink still dark, everything else as uploaded."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest

from services.music.score import NoteType, SpelledPitch
from services.omr.assembly.recognition import (
    Box,
    FoundNote,
    FoundPage,
    FoundSymbol,
    Recognition,
    Role,
)
from services.omr.overlay import draw_overlay, overlay_png
from services.omr.palette import (
    ColourBy,
    confidence_index,
    confidence_palette,
    duration_index,
    duration_palette,
    fifths_index,
    pitch_palette,
)
from services.omr.vocabulary import SymbolClass

HEAD = Box(100, 200, 24, 20)
CLEF = Box(20, 150, 40, 100)


def note(step: str = "C", **changes: object) -> FoundNote:
    made = FoundNote(
        page=0, system=0, symbol=0, box=HEAD, part=0, staff=1, voice=1, measure=0, measure_number=1,
        onset=Fraction(0), duration=Fraction(1), kind=NoteType.QUARTER, dots=0,
        pitch=SpelledPitch(step, 0, 4), tied_back=False, tied_on=False, grace=False, confidence=0.95,
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def recognition(*notes: FoundNote) -> Recognition:
    symbols = (
        FoundSymbol(SymbolClass.NOTEHEAD_BLACK, HEAD, 0.95, Role.NOTE),
        FoundSymbol(SymbolClass.G_CLEF, CLEF, 0.9, Role.CLEF),
    )
    return Recognition((FoundPage((900, 600), (), symbols),), notes, None, ())


@pytest.fixture
def page() -> np.ndarray:
    image = np.full((600, 900, 3), 255, np.uint8)
    image[200:220, 100:124] = 0
    image[180:185, :] = 0
    return image


def test_paper_around_a_head_takes_the_tint_and_its_ink_the_dark_colour(page: np.ndarray) -> None:
    drawn = draw_overlay(page, recognition(note("D")), 0)
    palette = pitch_palette()
    colour = fifths_index(62)
    assert palette.labels[colour] == "D"
    np.testing.assert_array_equal(drawn[210, 112], palette.inks[colour])
    np.testing.assert_array_equal(drawn[210, 127], palette.tints[colour])


def test_far_from_symbols_the_page_stays_as_it_was(page: np.ndarray) -> None:
    drawn = draw_overlay(page, recognition(note()), 0)
    assert drawn.shape[0] > page.shape[0]
    assert drawn.shape[1:] == (900, 3)
    np.testing.assert_array_equal(drawn[:600, 200:], page[:, 200:])


def test_the_page_keeps_its_colours(page: np.ndarray) -> None:
    page[:, 200:] = (250, 220, 150)
    drawn = draw_overlay(page, recognition(note()), 0)
    np.testing.assert_array_equal(drawn[300, 300], (150, 220, 250))


def test_a_smaller_picture_is_marked_in_the_same_places(page: np.ndarray) -> None:
    small = np.ascontiguousarray(page[::2, ::3])
    drawn = draw_overlay(small, recognition(note("D")), 0)
    palette = pitch_palette()
    np.testing.assert_array_equal(drawn[105, 37], palette.inks[fifths_index(62)])
    assert (drawn[74, 10] < 255).any()


def test_a_box_goes_around_a_clef_and_never_hides_ink(page: np.ndarray) -> None:
    page[149:252, 19] = 0  # ink where the box's side runs
    drawn = draw_overlay(page, recognition(note()), 0)
    assert not drawn[160:170, 19].any()
    assert (drawn[149, 30:50] < 255).all()
    bare = draw_overlay(page, replace(recognition(note()), pages=(FoundPage((900, 600), (), ()),)), 0)
    np.testing.assert_array_equal(bare[149, 30:50], 255)


def test_notes_of_other_pages_are_not_drawn(page: np.ndarray) -> None:
    drawn = draw_overlay(page, recognition(note(page=1)), 0)
    np.testing.assert_array_equal(drawn[210, 127], 255)


@pytest.mark.parametrize("colour_by", list(ColourBy))
def test_every_colouring_tells_apart_what_it_is_of(page: np.ndarray, colour_by: ColourBy) -> None:
    other = Box(300, 400, 24, 20)
    differing = {
        ColourBy.PITCH: note("G", box=other),
        ColourBy.STAFF: note(box=other, staff=2),
        ColourBy.DURATION: note(box=other, kind=NoteType.EIGHTH),
        ColourBy.CONFIDENCE: note(box=other, confidence=0.2),
    }[colour_by]
    drawn = draw_overlay(page, recognition(note(), differing), 0, colour_by).astype(int)
    alike = draw_overlay(page, recognition(note(), note(box=other)), 0, colour_by).astype(int)
    assert np.abs(drawn[210, 127] - drawn[410, 327]).sum() > 40
    np.testing.assert_array_equal(alike[210, 127], alike[410, 327])


def test_the_legend_names_the_colours_in_use_alone(page: np.ndarray) -> None:
    one = draw_overlay(page, recognition(note()), 0)[600:]
    two = draw_overlay(page, recognition(note(), note("E")), 0)[600:]
    assert (two < 255).sum() > (one < 255).sum() > 0
    assert (draw_overlay(page, recognition(), 0)[600:] == 255).all()


def test_the_png_is_the_picture(page: np.ndarray) -> None:
    png = overlay_png(page, recognition(note()), 0)
    read = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(read, draw_overlay(page, recognition(note()), 0))


def test_pitch_colours_go_round_the_circle_of_fifths_an_octave_apart_alike() -> None:
    names = [pitch_palette().labels[fifths_index(midi)] for midi in (60, 67, 62, 65, 72, 61)]
    assert names == ["C", "G", "D", "F", "C", "Db/C#"]
    assert len({tuple(tint) for tint in pitch_palette().tints.tolist()}) == 12


def test_durations_and_confidences_fall_into_their_steps() -> None:
    labels = duration_palette().labels
    assert [labels[duration_index(kind, grace=False)] for kind in NoteType] == [
        "whole", "whole", "half", "quarter", "eighth", "16th", "32nd", "64th", "64th",
    ]  # fmt: skip
    assert labels[duration_index(NoteType.EIGHTH, grace=True)] == "grace"
    shown = confidence_palette().labels
    assert [shown[confidence_index(c)] for c in (0.0, 0.55, 1.0)] == ["0.0", "0.5", "0.9"]
