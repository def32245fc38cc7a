"""Octave clefs: an 8 seen under a treble clef moves its staff, and nothing else there does."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from services.omr.assembly import RecognisedPage, assemble
from services.omr.octave_clefs import with_octave_clefs
from services.omr.vocabulary import SymbolClass as S
from tests.omr.printed_pages import Paper

CLEF_PX = 80
#: Of a page by LilyPond, prepared: from 1.6 staff spaces below the middle line, the clef in the middle.
TAIL = cv2.imread(str(Path(__file__).with_name("treble-clef-8-by-lilypond.png")), cv2.IMREAD_GRAYSCALE)


def page(systems: int = 1) -> tuple[RecognisedPage, NDArray[np.uint8], list[int]]:
    """Systems of two treble staves with a note on each middle line; its picture is bare paper yet."""
    paper = Paper(systems=systems, staves=2, groups=((0, 0), (1, 1)))
    for staff in range(2 * systems):
        paper.clef(S.G_CLEF, CLEF_PX, staff)
        paper.note(300, staff, 0)
    made = paper.page()
    return made, made.page.image.copy(), [round(middle) for middle in paper.middles]


def print_tail(image: NDArray[np.uint8], middle: int, x: int = CLEF_PX) -> None:
    """Print the lower end of a treble clef with an 8, by an engraver that the figure was not learnt from."""
    part = image[middle + 16 : middle + 16 + TAIL.shape[0], x - 14 : x + 15]
    np.minimum(part, TAIL, out=part)


def write(image: NDArray[np.uint8], text: str, x: int, y: int) -> None:
    """Write something 12 px high, its middle at y."""
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_TRIPLEX, 0.55, 1)
    cv2.putText(image, text, (x - width // 2, y + height // 2), cv2.FONT_HERSHEY_TRIPLEX, 0.55, 0, 1)


def octaves(made: RecognisedPage, image: NDArray[np.uint8]) -> list[int]:
    symbols = with_octave_clefs(image, made.systems, made.symbols)
    return [note.pitch.octave for note in assemble([RecognisedPage(made.page, made.systems, symbols)]).notes]


def test_notes_after_a_clef_with_an_8_sound_an_octave_lower() -> None:
    made, image, middles = page()
    assert octaves(made, image) == [4, 4]
    print_tail(image, middles[1])
    assert octaves(made, image) == [4, 3]


@pytest.mark.parametrize("text", ["1", "6", "B", "g", "p", "ff", "Solo"])
def test_nothing_else_below_a_clef_makes_it_another(text: str) -> None:
    made, image, middles = page()
    write(image, text, CLEF_PX, middles[1] + 42)
    assert octaves(made, image) == [4, 4]


def test_an_8_elsewhere_is_none_of_the_clefs() -> None:
    made, image, middles = page()
    print_tail(image, middles[1], CLEF_PX + 40)
    print_tail(image, middles[1] - 70)
    print_tail(image, middles[1] + 30)
    assert octaves(made, image) == [4, 4]


def test_clefs_of_one_staff_down_the_page_are_alike() -> None:
    made, image, middles = page(systems=3)
    for staff in (1, 3):  # the third is not to be seen
        print_tail(image, middles[staff])
    assert octaves(made, image) == [4, 3] * 3
    made, image, middles = page(systems=3)
    print_tail(image, middles[1])
    assert octaves(made, image) == [4, 4] * 3


def test_a_clef_at_the_pages_end_stays_as_it_is() -> None:
    made, image, middles = page()
    assert octaves(made, image[: middles[1] + 30]) == [4, 4]
    assert octaves(made, image[:, : CLEF_PX - 5]) == [4, 4]
