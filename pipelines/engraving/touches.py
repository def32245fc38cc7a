"""What old editions have and Verovio does not draw: changes to a drawing before its boxes are taken.

Glyphs are changed in the drawing's definitions, so that each symbol's box is that of what is seen; texts
are added in a group of their own, which holds no symbols.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from random import Random

from lxml import etree

from pipelines.engraving.outlines import FONTS, advance, font_outline, transformed

_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"
_PLACE = re.compile(r"translate\(([-\d.]+),\s*([-\d.]+)\)")
_HEADS = ("E0A2", "E0A3", "E0A4")
_QUARTER_REST, _EIGHTH_REST = "E4E5", "E4E6"

#: Glyphs that come from another font together.
_FAMILIES = (
    ("E050", "E062", "E05C", "E07A", "E07C", "E07B", "E052", "E053"),
    ("E260", "E261", "E262", "E263", "E264"),
    tuple(f"E08{figure}" for figure in "0123456789AB"),
    tuple(f"E88{figure}" for figure in range(10)),
    ("E4E5", "E4E6", "E4E7", "E4E8", "E4E9"),
    ("E520", "E521", "E522", "E524", "E52B", "E52C", "E52D", "E52F", "E530", "E539", "E52A"),
    ("E4A0", "E4A1", "E4AC", "E4AD", "E4C0", "E4C1", "E566", "E650", "E655"),
)  # fmt: skip
_ACCIDENTALS = _FAMILIES[1]
_FIGURES = _FAMILIES[3]

_PUBLISHERS = (
    "Stich und Druck der Anstalt in Leipzig.", "Copyright 1902 by the Publisher", "Edition No. 1215",
    "Imp. Dupré, Paris.", "All rights reserved.", "Printed in Germany", "Ausgegeben 1879.",
)  # fmt: skip


def touch_up(svg: str, random: Random) -> str:
    """The drawing with the touches of one edition, chosen at random."""
    root = etree.fromstring(svg.encode())
    _swap_glyphs(root, random)
    if random.random() < 0.25:
        _old_quarter_rests(root)
    _reshape(root, random)
    if random.random() < 0.5:
        _shift_dots(root, random.randint(5, 110))
    texts = etree.SubElement(_margin(root), f"{_SVG}g", {"class": "touches"})
    if random.random() < 0.4:
        _fingerings(root, texts, random)
    if random.random() < 0.2:
        _measure_numbers(root, texts, random)
    _captions(root, texts, random)
    return etree.tostring(root, encoding="unicode")


def _margin(root: etree._Element) -> etree._Element:
    return next(e for e in root.iter(f"{_SVG}g") if e.get("class") == "page-margin")


def _glyphs(root: etree._Element) -> Iterator[tuple[str, etree._Element]]:
    """Code and outline of each glyph that the drawing defines."""
    for glyph in root.iterfind(f"{_SVG}defs/{_SVG}g"):
        path = glyph.find(f"{_SVG}path")
        if path is not None and path.get("d"):
            yield glyph.get("id", "").split("-")[0], path


def _swap_glyphs(root: etree._Element, random: Random) -> None:
    """Takes whole families of glyphs from another font now and then."""
    fonts = {
        code: font
        for family in _FAMILIES
        for font in (random.choice(FONTS) if random.random() < 0.2 else None,)
        if font
        for code in family
    }
    for code, path in _glyphs(root):
        outline = font_outline(fonts[code], code) if code in fonts else None
        if outline:
            path.set("d", outline)


def _old_quarter_rests(root: etree._Element) -> None:
    """Quarter rests as old French and English engravers cut them: an eighth rest mirrored."""
    outlines = dict(_glyphs(root))
    quarter, eighth = outlines.get(_QUARTER_REST), outlines.get(_EIGHTH_REST)
    source = eighth.get("d") if eighth is not None else font_outline("Leipzig", _EIGHTH_REST)
    if quarter is not None and source:
        quarter.set("d", transformed(source, -1.0, 1.0, shift=advance(source)))


def _reshape(root: etree._Element, random: Random) -> None:
    """Heads a little rounder, flatter or more slanted; accidentals and tuplet figures larger or smaller."""
    head_height, slant = random.uniform(0.92, 1.1), random.uniform(-0.12, 0.12)
    accidental, figure = random.uniform(0.88, 1.12), random.uniform(0.85, 1.3)
    for code, path in _glyphs(root):
        outline = path.get("d", "")
        if code in _HEADS:
            path.set("d", transformed(outline, 1.0, head_height, slant))
        elif code in _ACCIDENTALS:
            path.set("d", transformed(outline, accidental, accidental))
        elif code in _FIGURES:
            path.set("d", transformed(outline, figure, figure, slant=random.choice((0.0, 0.15))))


def _shift_dots(root: etree._Element, shift: int) -> None:
    """Augmentation dots further from their heads."""
    for group in root.iter(f"{_SVG}g"):
        if (group.get("class") or "").split(" ")[0] == "dots":
            for dot in group.iter(f"{_SVG}ellipse"):
                dot.set("cx", str(float(dot.get("cx", "0")) + shift))


def _text(parent: etree._Element, x: float, y: float, size: int, words: str, style: str = "") -> None:
    attributes = {"x": f"{x:.0f}", "y": f"{y:.0f}", "font-size": f"{size}px", "text-anchor": "middle"}
    if style:
        name, value = style.split("=")
        attributes[name] = value
    etree.SubElement(parent, f"{_SVG}text", attributes).text = words


def _fingerings(root: etree._Element, texts: etree._Element, random: Random) -> None:
    """Digits over and under heads."""
    share, size = random.uniform(0.05, 0.6), random.randint(190, 330)
    style = random.choice(("", "font-weight=bold", "font-style=italic"))
    for use in root.iter(f"{_SVG}use"):
        if (use.get(_HREF) or "")[1:5] in _HEADS and random.random() < share:
            place = _PLACE.match(use.get("transform") or "")
            if place:
                offset = random.choice((-random.uniform(130, 420), random.uniform(270, 560)))
                x = float(place[1]) + 100 + random.randint(-60, 60)
                _text(texts, x, float(place[2]) + offset, size, random.choice("1234512345"), style)


def _measure_numbers(root: etree._Element, texts: etree._Element, random: Random) -> None:
    """Numbers under every fifth or tenth barline, in parentheses or bare."""
    every, size, bare = random.choice((1, 5, 10)), random.randint(280, 420), random.random() < 0.4
    barlines = [e for e in root.iter(f"{_SVG}g") if (e.get("class") or "").split(" ")[0] == "barLine"]
    for number, barline in enumerate(barlines, random.randint(1, 90)):
        strokes = [re.findall(r"-?[\d.]+", path.get("d", "")) for path in barline.iter(f"{_SVG}path")]
        ends = [stroke for stroke in strokes if len(stroke) == 4]
        if number % every == 0 and ends:
            bottom = max(float(stroke[3]) for stroke in ends)
            words = str(number) if bare else f"({number})"
            _text(
                texts, float(ends[0][0]), bottom + random.randint(380, 600), size, words, "font-weight=bold"
            )


def _captions(root: etree._Element, texts: etree._Element, random: Random) -> None:
    """Page number, plate number and the publisher's lines in the margins over and under the music."""
    scaled = next(e for e in root.iter(f"{_SVG}svg") if e.get("class") == "definition-scale")
    _, _, width, height = map(float, (scaled.get("viewBox") or "").split())
    place = _PLACE.match(_margin(root).get("transform") or "")
    left, top = (float(place[1]), float(place[2])) if place else (0.0, 0.0)
    inner, foot = width - 2 * left, height - top
    if random.random() < 0.5:
        corner = random.choice((0.03, 0.5, 0.97))
        words = random.choice(("{}", "{}", "- {} -", "{} (20)")).format(random.randint(2, 180))
        _text(
            texts,
            inner * corner,
            random.randint(-300, 0),
            random.randint(280, 480),
            words,
            "font-weight=bold",
        )
    if random.random() < 0.5:
        plate = random.choice(("{}", "E. R. {}", "W. A. {}.", "C. F. {}", "{}-3")).format(
            random.randint(80, 30_000)
        )
        _text(texts, inner / 2, foot - random.randint(80, 500), random.randint(220, 380), plate)
    for corner in (0.15, 0.85):
        if random.random() < 0.25:
            words = random.choice(_PUBLISHERS)
            _text(texts, inner * corner, foot - random.randint(80, 500), random.randint(180, 300), words)
