"""Engraves scores with Verovio and draws them: music in, pages with known content out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random
from typing import Any, Final

import cv2
import numpy as np
import resvg_py
import verovio

from pipelines.engraving.boxes import PageReader
from pipelines.engraving.pages import ENGRAVED_SPACE_PX, EngravedPage
from pipelines.engraving.truth import read_mei

#: Px to a staff space at a scale of 100.
_SPACE_AT_FULL_SCALE: Final = 18.0
_FONTS: Final = ("Leipzig", "Bravura", "Leland", "Petaluma", "Gootville")
_TEXT_FONTS: Final = ("DejaVu Serif", "FreeSerif", "Liberation Serif", "C059", "P052", "Nimbus Roman")
#: Pages with fewer symbols are of little use.
_FEWEST_SYMBOLS: Final = 60


def random_look(random: Random) -> dict[str, Any]:
    """Options of Verovio for one engraver's look."""
    width = random.uniform(95, 150)
    return {
        "pageWidth": int(width * _SPACE_AT_FULL_SCALE),
        "pageHeight": int(width * _SPACE_AT_FULL_SCALE * random.uniform(1.1, 1.4)),
        "pageMarginLeft": random.randint(20, 120),
        "pageMarginRight": random.randint(20, 120),
        "pageMarginTop": 60,
        "pageMarginBottom": 60,
        "header": "none",
        "footer": "none",
        "breaks": "auto",
        "font": random.choice(_FONTS),
        "staffLineWidth": random.uniform(0.10, 0.22),
        "stemWidth": random.uniform(0.12, 0.30),
        "barLineWidth": random.uniform(0.2, 0.45),
        "ledgerLineThickness": random.uniform(0.18, 0.35),
        "beamMaxSlope": random.choice((5, 10, 15, 20)),
        "slurMidpointThickness": random.uniform(0.4, 0.8),
        "spacingLinear": random.uniform(0.18, 0.35),
        "spacingNonLinear": random.uniform(0.5, 0.68),
        "spacingStaff": random.randint(8, 16),
        "spacingSystem": random.randint(4, 14),
        "justifyVertically": random.random() < 0.5,
        "lyricSize": random.uniform(3.5, 5.0),
    }


def engrave_pages(
    music: str, look: Mapping[str, Any], random: Random, most_pages: int = 2
) -> Iterator[EngravedPage]:
    """Engrave a MusicXML or MEI text; gives some of its pages, chosen at random.

    Raises:
        ValueError: Verovio cannot read the text.
    """
    verovio.enableLog(verovio.LOG_OFF)
    toolkit = verovio.toolkit()
    toolkit.setOptions({**look, "scale": 100 * ENGRAVED_SPACE_PX / _SPACE_AT_FULL_SCALE})
    if not toolkit.loadData(music):
        raise ValueError("Verovio cannot read this music")
    count = toolkit.getPageCount()
    reader = PageReader(read_mei(toolkit.getMEI()))
    text_font = random.choice(_TEXT_FONTS)
    for number in random.sample(range(1, count + 1), min(count, most_pages)):
        svg = toolkit.renderToSVG(number)
        symbols, staves, measures = reader.read_svg(svg)
        if len(symbols) >= _FEWEST_SYMBOLS:
            yield EngravedPage(draw(svg, text_font), symbols, staves, measures)


def draw(svg: str, text_font: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Draw an SVG on white: uint8 [height, width], 255 is paper."""
    png = resvg_py.svg_to_bytes(svg_string=svg, background="white", serif_family=text_font)
    image = cv2.imdecode(np.frombuffer(bytes(png), np.uint8), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise ValueError("the drawing cannot be read")
    return np.asarray(image, np.uint8)
