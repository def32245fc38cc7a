"""Looks of editions: whatever is changed in a drawing, the boxes are those of what is seen."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
import verovio
from lxml import etree

from pipelines.engraving.boxes import PageReader
from pipelines.engraving.glyphs import outline_box
from pipelines.engraving.look import random_look
from pipelines.engraving.outlines import FONTS, advance, font_outline, transformed
from pipelines.engraving.random_scores import random_scores
from pipelines.engraving.render import draw
from pipelines.engraving.touches import touch_up
from pipelines.engraving.truth import read_mei
from services.omr.vocabulary import CLASS_INDEX, CLASSES, SymbolClass

SVG = "{http://www.w3.org/2000/svg}"
CODES = ("E0A4", "E050", "E262", "E4E5", "E4E6", "E083", "E530")
KINDS = [
    CLASS_INDEX[kind]
    for kind in (SymbolClass.G_CLEF, SymbolClass.F_CLEF, SymbolClass.REST_QUARTER, SymbolClass.REST_8TH)
]


@pytest.mark.parametrize("font", FONTS)
@pytest.mark.parametrize("code", CODES)
def test_an_outline_moves_as_asked(font: str, code: str) -> None:
    outline = font_outline(font, code)
    assert outline is not None
    left, low, right, high = outline_box(outline)
    assert outline_box(transformed(outline, 1.0, 1.0)) == pytest.approx((left, low, right, high), abs=1.5)
    scaled = outline_box(transformed(outline, 2.0, 0.5, shift=30.0))
    assert scaled == pytest.approx((2 * left + 30, low / 2, 2 * right + 30, high / 2), abs=3.0)
    mirrored = outline_box(transformed(outline, -1.0, 1.0, shift=advance(outline)))
    assert mirrored == pytest.approx((advance(outline) - right, low, advance(outline) - left, high), abs=1.5)


def test_a_font_without_a_glyph_has_no_outline() -> None:
    assert font_outline("Gootville", "E883") is None


def test_verovio_knows_every_option() -> None:
    toolkit = verovio.toolkit()
    look = {key: value for seed in range(20) for key, value in random_look(Random(seed)).items()}
    assert toolkit.setOptions(look)
    groups = toolkit.getAvailableOptions()["groups"].values()
    known = {name for group in groups for name in group["options"]}
    assert set(look) <= known


@pytest.fixture(scope="module")
def page() -> tuple[str, PageReader]:
    verovio.enableLog(verovio.LOG_OFF)
    toolkit = verovio.toolkit()
    toolkit.setOptions({"header": "none", "footer": "none", "scale": 90, "pageWidth": 2200})
    toolkit.loadData(next(random_scores(19))[1])
    return toolkit.renderToSVG(1), PageReader(read_mei(toolkit.getMEI()))


@pytest.mark.parametrize("seed", range(6))
def test_touches_leave_the_symbols_what_they_are(page: tuple[str, PageReader], seed: int) -> None:
    svg, reader = page
    before, staves, measures = reader.read_svg(svg)
    touched = touch_up(svg, Random(seed))
    after, staves_after, measures_after = reader.read_svg(touched)
    for name in before.dtype.names:
        if name not in ("x", "y", "width", "height"):
            assert np.array_equal(before[name], after[name]), name
    assert np.array_equal(staves, staves_after)
    assert np.array_equal(measures, measures_after)
    assert touched == touch_up(svg, Random(seed))


@pytest.mark.parametrize("seed", range(6))
def test_boxes_are_those_of_the_ink(page: tuple[str, PageReader], seed: int) -> None:
    """Where only clefs and rests are left, the ink of each reaches just as far as its box."""
    svg, reader = page
    touched = touch_up(svg, Random(seed))
    symbols, _, _ = reader.read_svg(touched)
    image = draw(_clefs_and_rests_alone(touched), "DejaVu Serif") < 128
    chosen = [each for each in symbols if each["kind"] in KINDS]
    assert {SymbolClass.G_CLEF, SymbolClass.REST_QUARTER} <= {CLASSES[each["kind"]] for each in chosen}
    for each in chosen:
        half = np.array([each["width"], each["height"]]) / 2
        low, high = np.array([each["x"], each["y"]]) - half, np.array([each["x"], each["y"]]) + half
        (left, top), (right, bottom) = (low - 3).astype(int), (high + 4).astype(int)
        rows, columns = np.nonzero(image[top:bottom, left:right])
        assert (columns.min() + left, rows.min() + top) == pytest.approx(tuple(low), abs=2)
        assert (columns.max() + left + 1, rows.max() + top + 1) == pytest.approx(tuple(high), abs=2)


def _clefs_and_rests_alone(svg: str) -> str:
    root = etree.fromstring(svg.encode())
    margin = next(each for each in root.iter(f"{SVG}g") if each.get("class") == "page-margin")
    kept = {
        inner
        for group in margin.iter(f"{SVG}g")
        if (group.get("class") or "").split(" ")[0] in ("clef", "rest")
        for inner in group.iter(f"{SVG}use")
    }
    drawn = ("path", "use", "text", "polygon", "polyline", "rect", "ellipse")
    for each in [each for name in drawn for each in margin.iter(f"{SVG}{name}")]:
        parent = each.getparent()
        if each not in kept and parent is not None:
            parent.remove(each)
    return etree.tostring(root, encoding="unicode")
