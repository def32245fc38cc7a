"""Second dots: two dots in a row are told from one, and nothing else is taken for a dot."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from services.omr.assembly import assemble
from services.omr.second_dots import with_second_dots
from services.omr.vocabulary import SymbolClass as S
from tests.omr.printed_pages import Paper

#: Of the dot that the model finds, on the page of `dotted`.
X, Y = 217.0, 95.0


def dotted() -> tuple[Paper, NDArray[np.uint8]]:
    """A quarter note, of which the model sees a dot, and a 16th; the picture is bare but for the staff."""
    paper = Paper(staves=1)
    paper.clef(S.G_CLEF, 70, 0)
    paper.metre(2, 4, 100, 0)
    paper.note(200, 0, 1, "quarter", dots=tuple(np.log((0.01, 0.98, 0.01))))
    paper.add(S.AUGMENTATION_DOT, X, 0, 1, width=4.0, height=4.0)
    paper.note(300, 0, 1, "16th")
    paper.barline(400, 0)
    image = paper.page().page.image.copy()
    for line in range(-2, 3):
        image[100 + 10 * line, 50:950] = 0
    return paper, image


def print_dot(image: NDArray[np.uint8], x: float, y: float = Y, radius: float = 2.0) -> None:
    """Print a dot, its edge as soft as a prepared page's."""
    eighth = 3
    at = (round(x * 2**eighth), round(y * 2**eighth))
    cv2.circle(image, at, round(radius * 2**eighth), 0, -1, cv2.LINE_AA, eighth)


def dots(paper: Paper, image: NDArray[np.uint8]) -> list[float]:
    seen = with_second_dots(image, paper.symbols)
    assert [each for each in seen if each.kind is not S.AUGMENTATION_DOT] == [
        each for each in paper.symbols if each.kind is not S.AUGMENTATION_DOT
    ]
    return sorted(each.x for each in seen if each.kind is S.AUGMENTATION_DOT)


def test_one_dot_stays_one() -> None:
    paper, image = dotted()
    print_dot(image, X)
    assert dots(paper, image) == [X]


@pytest.mark.parametrize("apart", [4.8, 5.5, 7.0, 8.0])
@pytest.mark.parametrize("found", [0.0, 0.5, 1.0])
def test_two_dots_are_two_wherever_the_model_saw_one(apart: float, found: float) -> None:
    paper, image = dotted()
    first = X - found * apart
    print_dot(image, first)
    print_dot(image, first + apart)
    # Of dots farther apart none lies where it was seen.
    if apart > 7 and found == 0.5:
        assert dots(paper, image) == [X]
    else:
        assert dots(paper, image) == pytest.approx([first, first + apart], abs=1.0)


def test_dots_that_the_model_has_told_apart_are_left() -> None:
    paper, image = dotted()
    paper.add(S.AUGMENTATION_DOT, X + 7, 0, 1, width=4.0, height=4.0)
    print_dot(image, X)
    print_dot(image, X + 7)
    assert dots(paper, image) == [X, X + 7]


def test_other_ink_beside_a_dot_is_no_dot() -> None:
    paper, image = dotted()
    print_dot(image, X)
    print_dot(image, X + 6, Y - 6)  # a staccato above
    image[80:120, round(X) + 8] = 0  # a stem
    image[round(Y) - 1 : round(Y) + 1, round(X) + 5 : round(X) + 40] = 0  # the beginning of a slur
    print_dot(image, X - 17, radius=5.5)  # the head
    assert dots(paper, image) == [X]


def test_a_dot_at_the_pages_edge_stays() -> None:
    paper, image = dotted()
    print_dot(image, X)
    assert dots(paper, image[:, : round(X) + 3]) == [X]
    assert dots(paper, image[: round(Y) - 20]) == [X]


def test_a_double_dot_lengthens_its_note_though_the_head_reads_one() -> None:
    paper, image = dotted()
    print_dot(image, X)
    print_dot(image, X + 6)
    page = replace(paper.page(), symbols=with_second_dots(image, paper.symbols))
    lengths = [(each.duration, each.dots) for each in assemble([page]).notes]
    assert lengths == [(Fraction(7, 4), 2), (Fraction(1, 4), 0)]
