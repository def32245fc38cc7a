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
from pipelines.engraving.look import SPACE_AT_FULL_SCALE
from pipelines.engraving.pages import ENGRAVED_SPACE_PX, EngravedPage
from pipelines.engraving.touches import touch_up
from pipelines.engraving.truth import read_mei

_TEXT_FONTS: Final = ("DejaVu Serif", "FreeSerif", "Liberation Serif", "C059", "P052", "Nimbus Roman")
#: Pages with fewer symbols are of little use.
_FEWEST_SYMBOLS: Final = 60


def engrave_pages(
    music: str, look: Mapping[str, Any], random: Random, most_pages: int = 2
) -> Iterator[EngravedPage]:
    """Engrave a MusicXML or MEI text; gives some of its pages, chosen at random.

    Raises:
        ValueError: Verovio cannot read the text.
    """
    verovio.enableLog(verovio.LOG_OFF)
    toolkit = verovio.toolkit()
    toolkit.setOptions({**look, "scale": 100 * ENGRAVED_SPACE_PX / SPACE_AT_FULL_SCALE})
    if not toolkit.loadData(music):
        raise ValueError("Verovio cannot read this music")
    count = toolkit.getPageCount()
    reader = PageReader(read_mei(toolkit.getMEI()))
    text_font = random.choice(_TEXT_FONTS)
    for number in random.sample(range(1, count + 1), min(count, most_pages)):
        svg = touch_up(toolkit.renderToSVG(number), random)
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
