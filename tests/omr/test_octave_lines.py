"""Octave lines: dashes traced from an 8va to their end."""

from __future__ import annotations

import numpy as np

from services.omr.assembly import RecognisedPage, assemble
from services.omr.octave_lines import with_octave_lines
from services.omr.vocabulary import SymbolClass as S
from tests.omr.printed_pages import Paper


def page_with_line(end: int, staff_height: float = 14.0) -> tuple[RecognisedPage, np.ndarray]:
    """A treble staff of four notes with an 8va over the second, and dashes up to a place."""
    paper = Paper(staves=1)
    paper.clef(S.G_CLEF, 70, 0)
    for i in range(4):
        paper.note(200 + 100 * i, 0, 0)
    paper.add(S.OTTAVA, 295, 0, staff_height, width=14.0, height=14.0)
    page = paper.page()
    image = page.page.image.copy()
    y = round(paper.middles[0] - staff_height * 5)
    for x in range(310, end, 14):
        image[y - 1 : y + 1, x : min(x + 8, end)] = 0
    return page, image


def octaves(page: RecognisedPage, image: np.ndarray) -> list[int]:
    symbols = with_octave_lines(image, page.symbols)
    return [note.pitch.octave for note in assemble([RecognisedPage(page.page, page.systems, symbols)]).notes]


def test_notes_under_the_line_sound_an_octave_higher() -> None:
    assert octaves(*page_with_line(430)) == [4, 5, 5, 4]


def test_notes_over_a_line_below_the_staff_sound_an_octave_lower() -> None:
    assert octaves(*page_with_line(430, staff_height=-14.0)) == [4, 3, 3, 4]


def test_a_figure_without_a_line_reaches_no_further() -> None:
    page, image = page_with_line(0)
    assert octaves(page, image) == [4, 5, 4, 4]
    assert with_octave_lines(image, page.symbols) == page.symbols


def test_thick_strokes_are_no_line() -> None:
    page, image = page_with_line(430)
    image[20:45, 303:600] = 0  # a beam, or a smear, over the dashes
    assert with_octave_lines(image, page.symbols) == page.symbols


def test_a_figure_at_the_pages_edge_keeps_its_box() -> None:
    page, image = page_with_line(430)
    assert with_octave_lines(image[:6], page.symbols) == page.symbols
