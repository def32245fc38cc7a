"""Pages engraved by MuseScore 3.2 (Debian's `musescore3`), with the truth that Verovio's reading gives.

A page on which anything drawn differs from what the music has is passed over.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import verovio
from lxml import etree
from numpy.typing import NDArray

from pipelines.engraving.boxes import PageReader
from pipelines.engraving.musescore_drawing import read_drawing
from pipelines.engraving.musescore_match import PageMatch, PlacedMeasure
from pipelines.engraving.pages import EngravedPage
from pipelines.engraving.render import draw
from pipelines.engraving.truth import read_mei

PROGRAM = "musescore3"
#: Units of MuseScore's table of measures to a unit of its SVG.
_UNITS = 10.0
_SLOWEST_S = 120
#: Verovio takes minutes to lay a longer piece in one endless system.
MOST_NOTES = 2500


def engrave_with_musescore(musics: Sequence[str], text_font: str = "FreeSerif") -> Iterator[EngravedPage]:
    """All pages of these MusicXML texts whose truth could be found; one run of MuseScore for all.

    Pieces of more than `MOST_NOTES` notes are passed over.

    Raises:
        OSError: MuseScore is not installed.
    """
    musics = [music for music in musics if music.count("<note") <= MOST_NOTES]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        jobs = []
        for number, music in enumerate(musics):
            source = folder / f"{number}.musicxml"
            source.write_text(music, "utf-8")
            outputs = [str(folder / f"{number}.{ending}") for ending in ("svg", "mpos")]
            jobs.append({"in": str(source), "out": outputs})
        (folder / "jobs.json").write_text(json.dumps(jobs))
        # Where it fails or hangs at one score, those before it are there.
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(
                [PROGRAM, "-j", str(folder / "jobs.json")],
                env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
                capture_output=True,
                check=False,
                timeout=_SLOWEST_S * len(jobs),
            )
        for number, music in enumerate(musics):
            pages = sorted(folder.glob(f"{number}-*.svg"), key=lambda path: int(path.stem.split("-")[1]))
            table = folder / f"{number}.mpos"
            if pages and table.exists():
                yield from _pages(music, pages, table, text_font)


def _pages(music: str, drawings: list[Path], table: Path, text_font: str) -> Iterator[EngravedPage]:
    truth = _truth(music)
    placed = etree.parse(table).findall("elements/element")
    if truth is None or len(placed) != len(truth[1]):
        return
    for number, path in enumerate(drawings):
        svg = path.read_bytes()
        try:
            drawing = read_drawing(svg)
            measures = _measures(placed, number, drawing.px)
            page = PageMatch(drawing, measures, *truth)
            arrays = page.arrays()
        except (ValueError, etree.XMLSyntaxError):
            continue
        height, width = (
            float(etree.fromstring(svg).get(name, "0").removesuffix("px")) for name in ("height", "width")
        )
        size = f'width="{width * drawing.px:.0f}px" height="{height * drawing.px:.0f}px"'
        text = svg.decode().replace(f'width="{width:g}px" height="{height:g}px"', size, 1)
        image = draw(text, text_font)
        if abs(image.shape[1] - width * drawing.px) < 2:
            yield EngravedPage(image, *arrays)


def _truth(music: str) -> tuple[NDArray[np.void], NDArray[np.void]] | None:
    """Symbols and measures as Verovio engraves them in one endless system; None where it cannot."""
    verovio.enableLog(verovio.LOG_OFF)
    toolkit = verovio.toolkit()
    toolkit.setOptions({"breaks": "none", "header": "none", "footer": "none"})
    if not toolkit.loadData(music):
        return None
    reader = PageReader(read_mei(toolkit.getMEI()))
    symbols, _, measures = reader.read_svg(toolkit.renderToSVG(1))
    return symbols, measures


def _measures(placed: Sequence[Any], page: int, px: float) -> list[PlacedMeasure]:
    found: list[PlacedMeasure] = []
    tops: list[str] = []
    for index, each in enumerate(placed):
        if each.get("page") != str(page):
            continue
        if not tops or each.get("y") != tops[-1]:
            tops.append(each.get("y"))
        left, top, width, height = (float(each.get(name)) / _UNITS * px for name in ("x", "y", "sx", "sy"))
        found.append(PlacedMeasure(index, len(tops) - 1, left, left + width, top, top + height))
    return found
