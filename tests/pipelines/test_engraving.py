"""Engraved pages: every symbol has its box and the music's own truth, however the page is damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import verovio

from pipelines.engraving.boxes import PageReader
from pipelines.engraving.glyphs import outline_box, symbols_of
from pipelines.engraving.pages import EngravedPage
from pipelines.engraving.pictures import Means, take_picture
from pipelines.engraving.render import draw
from pipelines.engraving.truth import read_mei
from services.omr.vocabulary import CLASS_INDEX, CLASSES, HEADS, TUPLET_TRIPLET, SymbolClass

MEI = """<mei xmlns="http://www.music-encoding.org/ns/mei"><music><body><mdiv><score>
<scoreDef meter.count="3" meter.unit="4"><staffGrp symbol="brace" bar.thru="true">
<staffDef n="1" lines="5" clef.shape="G" clef.line="2" keysig="2s"/>
<staffDef n="2" lines="5" clef.shape="F" clef.line="4" keysig="2s"/></staffGrp></scoreDef><section>
<measure n="1"><staff n="1"><layer n="1">
<tuplet num="3" numbase="2"><note dur="8" pname="a" oct="4"/><note dur="8" pname="b" oct="4"/>
<note dur="8" pname="c" oct="5" accid.ges="s"/></tuplet>
<chord dur="4" dots="1"><note pname="d" oct="4"/><note pname="f" oct="4" accid.ges="s"/></chord>
<note dur="8" pname="g" oct="4" accid="s"/></layer>
<layer n="2"><note dur="2" dots="1" pname="d" oct="4"/></layer></staff>
<staff n="2"><layer n="1"><mRest/></layer></staff></measure>
<measure n="2" right="end"><staff n="1"><layer n="1">
<note grace="unacc" dur="8" pname="e" oct="5"/><note xml:id="held" dur="2" pname="d" oct="5" tie="i"/>
<note dur="4" pname="d" oct="5" tie="t"/></layer></staff>
<staff n="2"><layer n="1"><note dur="4" pname="d" oct="3"/><rest dur="2"/></layer></staff></measure>
</section></score></mdiv></body></music></mei>"""


@pytest.fixture(scope="module")
def page() -> EngravedPage:
    verovio.enableLog(verovio.LOG_OFF)
    toolkit = verovio.toolkit()
    toolkit.setOptions(
        {"pageWidth": 1200, "pageHeight": 700, "scale": 88.9, "header": "none", "footer": "none"}
    )
    assert toolkit.loadData(MEI)
    svg = toolkit.renderToSVG(1)
    symbols, staves, measures = PageReader(read_mei(toolkit.getMEI())).read_svg(svg)
    return EngravedPage(draw(svg, "DejaVu Serif"), symbols, staves, measures)


def of_kind(page: EngravedPage, *kinds: SymbolClass) -> np.ndarray:
    return page.symbols[np.isin(page.symbols["kind"], [CLASS_INDEX[kind] for kind in kinds])]


def test_staves_are_one_part_where_a_brace_joins_them(page: EngravedPage) -> None:
    assert page.staves["part"].tolist() == [0, 0]
    assert page.measures["duration"].tolist() == [3.0, 3.0]
    assert len(of_kind(page, SymbolClass.BRACE)) == 1


def test_each_head_is_told_with_its_pitch_time_and_value(page: EngravedPage) -> None:
    heads = of_kind(page, *HEADS)
    first = heads[heads["measure"] == 0]
    told = sorted(
        (round(float(h["onset"]), 3), int(h["diatonic"]), int(h["alter"]), round(float(h["length"]), 3))
        for h in first
    )
    third = round(1 / 3, 3)
    assert told == [
        (0.0, 29, 0, 3.0),
        (0.0, 33, 0, third),
        (third, 34, 0, third),
        (round(2 / 3, 3), 35, 1, third),
        (1.0, 29, 0, 1.5),
        (1.0, 31, 1, 1.5),
        (2.5, 32, 1, 0.5),
    ]
    assert sorted(first["tuplet"].tolist()) == [0] * 4 + [TUPLET_TRIPLET] * 3
    assert sorted(set(first["voice"].tolist())) == [1, 2]


def test_staff_positions_follow_the_clef(page: EngravedPage) -> None:
    heads = of_kind(page, *HEADS)
    middle = np.where(heads["staff"] == 0, 34, 22)  # B4 and D3
    assert (heads["position"] == heads["diatonic"] - middle).all()


def test_ties_graces_and_rests_are_told(page: EngravedPage) -> None:
    second = of_kind(page, *HEADS)[of_kind(page, *HEADS)["measure"] == 1]
    assert second["grace"].sum() == 1
    assert second["tied_on"].sum() == second["tied_back"].sum() == 1
    assert len(of_kind(page, SymbolClass.TIE_START)) == len(of_kind(page, SymbolClass.TIE_END)) == 1
    (whole,) = of_kind(page, SymbolClass.REST_WHOLE)
    assert whole["length"] == 3.0
    assert len(of_kind(page, SymbolClass.BARLINE_FINAL)) == 2


@pytest.mark.parametrize("means", [None, *Means])
def test_boxes_hold_ink_however_the_picture_was_taken(page: EngravedPage, means: Means | None) -> None:
    picture = page if means is None else take_picture(page, means, np.random.default_rng(4))
    black = of_kind(picture, SymbolClass.NOTEHEAD_BLACK)
    assert len(black) >= 5
    paper = np.median(picture.image)
    for head in black:
        x, y = round(float(head["x"])), round(float(head["y"]))
        assert np.median(picture.image[y - 2 : y + 3, x - 2 : x + 3]) < 0.6 * paper, CLASSES[head["kind"]]


def test_a_page_survives_its_files(page: EngravedPage, tmp_path: Path) -> None:
    page.save(tmp_path / "page")
    again = EngravedPage.load(tmp_path / "page")
    assert (again.image == page.image).all()
    assert (again.symbols == page.symbols).all()
    assert (again.staves == page.staves).all()


def test_an_outline_may_be_relative_or_absolute() -> None:
    assert outline_box("M10 10h20v-5l-4 1z") == (10, 5, 30, 10)
    assert outline_box("M10 10H30V5L26 6Z") == (10, 5, 30, 10)


def test_letters_of_a_dynamic_are_symbols_of_their_own() -> None:
    assert symbols_of("E539") == (SymbolClass.DYNAMIC_S, SymbolClass.DYNAMIC_F, None)
    assert symbols_of("FFFF") == ()
