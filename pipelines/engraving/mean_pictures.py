"""What clefs, and the 8 under one, look like on average: `python -m pipelines.engraving.mean_pictures`.

Engraves them in many looks and writes the means that the page service compares with, at 10 px a staff space,
to `services/omr/pictures`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pipelines.engraving.look import random_look
from pipelines.engraving.pages import ENGRAVED_SPACE_PX, EngravedPage
from pipelines.engraving.render import engrave_pages
from services.omr.contract import STAFF_SPACE_PX
from services.omr.pictures import CLEFS_ABOVE_PX, FOLDER
from services.omr.vocabulary import CLASS_INDEX, SymbolClass

Picture = NDArray[np.uint8]

_LOOKS: Final = 40
#: Half the width of a clef's picture, and how far below the staff's middle line it ends, in px.
_HALF_CLEF_PX: Final = 14
_CLEFS_BELOW_PX: Final = {"g-clef": 42, "f-clef": 18, "c-clef": 26}
#: The 8's picture is a square; its rows above the lowest ink, and the height of the figure itself, in px.
_EIGHT_PX: Final = 13
_ABOVE_LOWEST_PX: Final = 10
_FIGURE_PX: Final = 8
#: Ink of the figure is darker than this (255 is paper).
_INK: Final = 140

_MEASURES: Final = "".join(
    f'<measure number="{number}">'
    + "<note><pitch><step>{step}</step><octave>{octave}</octave></pitch><duration>1</duration></note>" * 4
    + "</measure>"
    for number in range(2, 40)
)
_MUSIC: Final = (
    '<score-partwise version="4.0"><part-list><score-part id="P"><part-name/></score-part></part-list>'
    '<part id="P"><measure number="1"><attributes><divisions>1</divisions>'
    "<clef><sign>{sign}</sign><line>{line}</line><clef-octave-change>{octaves}</clef-octave-change></clef>"
    f"</attributes></measure>{_MEASURES}</part></score-partwise>"
)


def clefs(kind: SymbolClass, name: str) -> Callable[[EngravedPage], Iterator[Picture]]:
    """What cuts the clefs of a kind out of a page, uint8 [height, 29], 255 is paper."""
    above, below = CLEFS_ABOVE_PX[name], _CLEFS_BELOW_PX[name]

    def cut(page: EngravedPage) -> Iterator[Picture]:
        image = _reduced(page)
        for middle, x in _places(page, kind):
            yield image[middle - above : middle + below, x - _HALF_CLEF_PX : x + _HALF_CLEF_PX + 1]

    return cut


def eights(page: EngravedPage) -> Iterator[Picture]:
    """Cut the 8 under each treble clef out of a page, uint8 [13, 13], 255 is paper."""
    image = _reduced(page)
    for middle, x in _places(page, SymbolClass.G_CLEF_8VB):
        below = image[middle + 16 : middle + 64, x - 10 : x + 10]
        lowest = int(np.flatnonzero((below < _INK).any(1))[-1])
        across = np.flatnonzero((below[lowest - _FIGURE_PX : lowest + 1] < _INK).any(0))
        left = (int(across[0]) + int(across[-1])) // 2 - _EIGHT_PX // 2
        top = lowest - _ABOVE_LOWEST_PX
        yield below[max(top, 0) : top + _EIGHT_PX, max(left, 0) : left + _EIGHT_PX]


def mean(
    sign: str,
    line: int,
    octaves: int,
    pitch: tuple[str, int],
    cut: Callable[[EngravedPage], Iterator[Picture]],
) -> Picture:
    """Engrave music in a clef in many looks, and average what is cut out."""
    random = Random(8)
    music = _MUSIC.format(sign=sign, line=line, octaves=octaves, step=pitch[0], octave=pitch[1])
    found: list[Picture] = []
    for _ in tqdm(range(_LOOKS), desc=f"{sign} clef", leave=False):
        for page in engrave_pages(music, random_look(random), random, 1):
            found += cut(page)
    shape = max((each.shape for each in found), key=lambda each: each[0] * each[1])
    whole = [each for each in found if each.shape == shape]
    return np.round(np.mean(whole, axis=0)).astype(np.uint8)


def _reduced(page: EngravedPage) -> Picture:
    scale = STAFF_SPACE_PX / ENGRAVED_SPACE_PX
    return cv2.resize(page.image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.uint8)


def _places(page: EngravedPage, kind: SymbolClass) -> Iterator[tuple[int, int]]:
    """Middle line and centre of each clef of a kind, in px of the reduced page."""
    scale = STAFF_SPACE_PX / ENGRAVED_SPACE_PX
    for clef in page.symbols[page.symbols["kind"] == CLASS_INDEX[kind]]:
        yield round(page.staves["y"][clef["staff"]] * scale), round(clef["x"] * scale)


def main() -> int:
    """Engrave, average, write."""
    pictures = {
        "g-clef": mean("G", 2, 0, ("B", 4), clefs(SymbolClass.G_CLEF, "g-clef")),
        "f-clef": mean("F", 4, 0, ("D", 3), clefs(SymbolClass.F_CLEF, "f-clef")),
        "c-clef": mean("C", 3, 0, ("C", 4), clefs(SymbolClass.C_CLEF, "c-clef")),
        "eight": mean("G", 2, -1, ("B", 3), eights),
    }
    for name, picture in pictures.items():
        cv2.imwrite(str(FOLDER / f"{name}.png"), picture)
    print(f"written to {FOLDER}: {', '.join(pictures)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
