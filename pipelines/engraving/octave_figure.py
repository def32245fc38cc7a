"""What the 8 under a treble clef looks like: `python -m pipelines.engraving.octave_figure`.

Prints the mean of many engravers' looks as `services.omr.octave_clefs` keeps it: at 10 px a staff space, rows
of digits, ink from 0 to 9.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.engraving.look import random_look
from pipelines.engraving.pages import ENGRAVED_SPACE_PX, EngravedPage
from pipelines.engraving.render import engrave_pages
from services.omr.contract import STAFF_SPACE_PX
from services.omr.vocabulary import CLASS_INDEX, SymbolClass

_LOOKS: Final = 40
_SIDE_PX: Final = 13
#: Ink of the figure is darker than this (255 is paper).
_INK: Final = 140
#: Rows from the figure's lowest ink up to the first of the mean, and its height, in px.
_ABOVE_LOWEST_PX: Final = 10
_HEIGHT_PX: Final = 8
_MEASURES: Final = "".join(
    f'<measure number="{number}">'
    + "<note><pitch><step>B</step><octave>3</octave></pitch><duration>1</duration></note>" * 4
    + "</measure>"
    for number in range(2, 40)
)
_TENOR: Final = f"""<score-partwise version="4.0"><part-list><score-part id="P"><part-name/></score-part>
</part-list><part id="P"><measure number="1"><attributes><divisions>1</divisions><key><fifths>0</fifths></key>
<clef><sign>G</sign><line>2</line><clef-octave-change>-1</clef-octave-change></clef></attributes>
</measure>{_MEASURES}</part></score-partwise>"""


def figures(page: EngravedPage) -> Iterator[NDArray[np.float32]]:
    """Each 8 under a treble clef of a page, float32 [13, 13], 255 is paper."""
    scale = STAFF_SPACE_PX / ENGRAVED_SPACE_PX
    image = cv2.resize(page.image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    for clef in page.symbols[page.symbols["kind"] == CLASS_INDEX[SymbolClass.G_CLEF_8VB]]:
        middle, x = round(page.staves["y"][clef["staff"]] * scale), round(clef["x"] * scale)
        below = image[middle + 16 : middle + 64, x - 10 : x + 10]
        lowest = int(np.flatnonzero((below < _INK).any(1))[-1])
        across = np.flatnonzero((below[lowest - _HEIGHT_PX : lowest + 1] < _INK).any(0))
        left = (int(across[0]) + int(across[-1])) // 2 - _SIDE_PX // 2
        top = lowest - _ABOVE_LOWEST_PX
        figure = below[max(top, 0) : top + _SIDE_PX, max(left, 0) : left + _SIDE_PX]
        if figure.shape == (_SIDE_PX, _SIDE_PX):
            yield figure.astype(np.float32)


def main() -> int:
    """Engrave, average, print."""
    random = Random(8)
    looks = (engrave_pages(_TENOR, random_look(random), random, 1) for _ in range(_LOOKS))
    found = [figure for pages in looks for page in pages for figure in figures(page)]
    ink = 255 - np.mean(found, axis=0)
    for row in np.round(ink / ink.max() * 9).astype(int):
        print("".join(map(str, row)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
