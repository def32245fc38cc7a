"""The process that engraves one score: MusicXML on its input, pages on its output.

Run by `services.music.engraving` as `python -m services.music.engraver [svg] [pdf]`. The output is one
line of JSON, `{"pages", "svg", "pdf"}` (the latter two in bytes), and then the SVG and the PDF.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Final

import typst
import verovio
from lxml import etree

_PAGE_MM: Final = (210, 297)
_OPTIONS: Final = {
    "pageWidth": _PAGE_MM[0] * 10,
    "pageHeight": _PAGE_MM[1] * 10,
    "pageMarginTop": 120,
    "pageMarginBottom": 120,
    "pageMarginLeft": 120,
    "pageMarginRight": 120,
    "scale": 40,
    "svgViewBox": True,
    "footer": "none",
    "header": "auto",
    "smuflTextFont": "none",
    "xmlIdSeed": 1,
    "justifyVertically": True,
}


_MUSIC_FONT: Final = "Leipzig"
_UNITS_PER_EM: Final = 1000
_GAP_AFTER: Final = 120
_TOOLTIP: Final = re.compile(r'<title class="labelAttr">[^<]*</title>')
_SVG: Final = "{http://www.w3.org/2000/svg}"


class UnreadableScoreError(Exception):
    """Verovio could not read or draw the score."""


def draw_pages(musicxml: str) -> list[str]:
    """Each page as an SVG document.

    Raises:
        UnreadableScoreError: Verovio cannot read the document.
    """
    verovio.enableLog(verovio.LOG_OFF)
    toolkit = verovio.toolkit()
    toolkit.setOptions(_OPTIONS)
    if not toolkit.loadData(musicxml) or not toolkit.getPageCount():
        raise UnreadableScoreError("Verovio cannot read the MusicXML")
    glyphs = Path(toolkit.getResourcePath()) / _MUSIC_FONT
    pages = [toolkit.renderToSVG(page) for page in range(1, toolkit.getPageCount() + 1)]
    # Tooltips inside texts make Typst misplace them.
    pages = [_TOOLTIP.sub("", page) for page in pages]
    return [outline_music_text(page, glyphs) for page in pages]


def outline_music_text(page: str, glyphs: Path) -> str:
    """Draw the music symbols inside texts (the note of a metronome mark) as outlines.

    They are set in a font that viewers lack. Symbols are moved out of the start of their text, and
    the rest of it is shifted by their width.

    Args:
        page: an SVG document.
        glyphs: Verovio's folder of the font's outlines; the widths lie beside it.
    """
    if f'font-family="{_MUSIC_FONT}"' not in page:
        return page
    root = etree.fromstring(page.encode())
    widths = {
        g.get("c"): float(g.get("h-a-x", "0")) for g in etree.parse(glyphs.with_suffix(".xml")).iter("g")
    }
    for span in [s for s in root.iter(f"{_SVG}tspan") if s.get("font-family") == _MUSIC_FONT]:
        text = next(span.iterancestors(f"{_SVG}text"))
        parent = text.getparent()
        x, y = float(text.get("x", "0")), float(text.get("y", "0"))
        scale = float(span.get("font-size", "0").removesuffix("px")) / _UNITS_PER_EM
        for symbol in (span.text or "").strip():
            code = f"{ord(symbol):04X}"
            outline = etree.parse(glyphs / f"{code}.xml").find("path")
            if outline is not None and parent is not None:
                place = f"translate({x:g},{y:g}) scale({scale:g},{-scale:g})"
                path = etree.Element(f"{_SVG}path", d=outline.get("d", ""), transform=place)
                parent.insert(parent.index(text), path)
                x += widths.get(code, 0.0) * scale
        text.set("x", f"{x + _GAP_AFTER * scale:g}")
        _remove_emptied(span)
    return etree.tostring(root, encoding="unicode")


def _remove_emptied(span: etree._Element) -> None:
    """Remove a span whose text is gone, and what held nothing else: a text's place is its first letter's."""
    parent = span.getparent()
    if parent is None:
        return
    parent.remove(span)
    if parent.tag == f"{_SVG}tspan" and len(parent) == 0:
        _remove_emptied(parent)


def stack_pages(pages: list[str]) -> str:
    """One SVG document with all pages, each below the one before."""
    width, height = re.search(r'viewBox="0 0 (\d+) (\d+)"', pages[0]).groups()  # type: ignore[union-attr]
    total = int(height) * len(pages)
    stacked = [
        re.sub(r"<svg ", f'<svg y="{index * int(height)}" width="{width}" height="{height}" ', page, count=1)
        for index, page in enumerate(pages)
    ]
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<svg xmlns="http://www.w3.org/2000/svg" '
        f'xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 {width} {total}">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(stacked) + "\n</svg>\n"
    )


def set_pdf(pages: list[str]) -> bytes:
    """A PDF with one A4 page for each SVG; the same bytes for the same pages."""
    width, height = _PAGE_MM
    images = [
        f'#image(bytes(sys.inputs.at("{index}")), format: "svg", width: {width}mm, height: {height}mm)'
        for index in range(len(pages))
    ]
    page = f"#set page(width: {width}mm, height: {height}mm, margin: 0mm)\n"
    source = page + "\n#pagebreak()\n".join(images)
    compiler = typst.Compiler(ignore_system_fonts=True)
    inputs = {str(index): page for index, page in enumerate(pages)}
    pdf = compiler.compile(source.encode(), format="pdf", sys_inputs=inputs, timestamp=0)
    if not isinstance(pdf, bytes):
        raise UnreadableScoreError("Typst made no PDF")
    return pdf


def main() -> int:
    """Engrave standard input; exit status 1 with one line on standard error where it fails."""
    wanted = sys.argv[1:]
    try:
        pages = draw_pages(sys.stdin.buffer.read().decode("utf-8"))
        svg = stack_pages(pages).encode() if "svg" in wanted else b""
        pdf = set_pdf(pages) if "pdf" in wanted else b""
    except (UnreadableScoreError, typst.TypstError, UnicodeDecodeError) as error:
        print(error, file=sys.stderr)
        return 1
    header = json.dumps({"pages": len(pages), "svg": len(svg), "pdf": len(pdf)})
    sys.stdout.buffer.write(header.encode() + b"\n" + svg + pdf)
    return 0


if __name__ == "__main__":
    sys.exit(main())
