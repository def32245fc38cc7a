"""The symbols in a page that MuseScore 3.2 drew, with their boxes, from its SVG.

MuseScore names the class of each element, but a glyph is only an outline; glyphs of its own font
(Emmentaler) are told apart by the order of their outline's commands, of which `SHAPES` keeps a checksum.
Coordinates are px at a staff space of `ENGRAVED_SPACE_PX`.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from lxml import etree
from numpy.typing import NDArray

from pipelines.engraving.glyphs import Box
from pipelines.engraving.pages import ENGRAVED_SPACE_PX
from services.omr.vocabulary import SymbolClass as S

#: By element class and checksum: the symbols, left to right, and how far below the top of the box the point
#: lies that gives the staff position, in staff spaces.
SHAPES: dict[tuple[str, str], tuple[tuple[S | None, ...], float]] = {
    ("Note", "4246c8e9"): ((S.NOTEHEAD_BLACK,), 0.55),
    ("Note", "04cfc28c"): ((S.NOTEHEAD_HALF,), 0.55),
    ("Note", "be2d3112"): ((S.NOTEHEAD_WHOLE,), 0.55),
    ("Rest", "5a254c12"): ((S.REST_QUARTER,), 1.59),
    ("Rest", "18c59eaa"): ((S.REST_8TH,), 0.82),
    ("Rest", "3c2c5eea"): ((S.REST_16TH,), 0.82),
    ("Rest", "d6869a25"): ((S.REST_32ND,), 1.82),
    ("Accidental", "062acff6"): ((S.NATURAL,), 1.51),
    ("Accidental", "da709a7a"): ((S.SHARP,), 1.5),
    ("Accidental", "6fc0b57f"): ((S.FLAT,), 1.84),
    ("Accidental", "fdb4087c"): ((S.DOUBLE_FLAT,), 1.84),
    ("Accidental", "8d62bbe1"): ((S.DOUBLE_SHARP,), 0.54),
    ("Clef", "2c18a523"): ((S.G_CLEF,), 4.66),
    ("Clef", "c8f98ba5"): ((S.G_CLEF_8VB,), 4.66),
    ("Clef", "c3e334f9"): ((S.F_CLEF,), 1.05),
    ("Clef", "d4e32aee"): ((S.C_CLEF,), 2.0),
    ("TimeSig", "4ed3b88f"): ((S.TIME_2,), 1.0),
    ("TimeSig", "066825fe"): ((S.TIME_3,), 1.0),
    ("TimeSig", "78ef9e87"): ((S.TIME_4,), 1.0),
    ("TimeSig", "a74c4ad0"): ((S.TIME_5,), 1.0),
    ("TimeSig", "b9b05440"): ((S.TIME_6,), 1.0),
    ("TimeSig", "6bb1def4"): ((S.TIME_8,), 1.0),
    ("TimeSig", "a549d237"): ((S.TIME_COMMON,), 1.05),
    ("TimeSig", "df20377b"): ((S.TIME_CUT,), 1.4),
    ("NoteDot", "4246c8e9"): ((S.AUGMENTATION_DOT,), 0.225),
    ("Hook", "cd64e163"): ((S.FLAG_8TH,), 0.0),
    ("Hook", "fff69f58"): ((S.FLAG_8TH,), 2.89),
    ("Hook", "3e3b02e6"): ((S.FLAG_16TH,), 0.0),
    ("Hook", "e2da88ce"): ((S.FLAG_16TH,), 3.01),
    ("Hook", "54b3602b"): ((S.FLAG_32ND,), 0.0),
    ("Hook", "ce8de898"): ((S.FLAG_32ND,), 3.89),
    ("Articulation", "4246c8e9"): ((S.STACCATO,), 0.2),
    ("Articulation", "73ab41e0"): ((S.ACCENT,), 0.5),
    ("Articulation", "1c00922e"): ((S.TENUTO,), 0.08),
    ("Articulation", "72a488d9"): ((S.MARCATO,), 0.55),
    ("Articulation", "e469a0ae"): ((S.TRILL,), 2.16),
    ("TrillSegment", "e469a0ae"): ((S.TRILL,), 2.16),
    ("Fermata", "71c11de8"): ((S.FERMATA,), 1.52),
    ("Tuplet", "824b34de"): ((S.TUPLET_2,), 0.7),
    ("Tuplet", "408b9f40"): ((S.TUPLET_3,), 0.7),
    ("Tuplet", "ffcf43a5"): ((S.TUPLET_6,), 0.7),
    ("Tuplet", "5589e003"): ((S.TUPLET_7,), 0.7),
    ("Dynamic", "f78b940a"): ((S.DYNAMIC_P,), 1.0),
    ("Dynamic", "0be6fcc7"): ((S.DYNAMIC_P, S.DYNAMIC_P), 1.0),
    ("Dynamic", "0cff2f86"): ((S.DYNAMIC_P, S.DYNAMIC_P, S.DYNAMIC_P), 1.0),
    ("Dynamic", "1a453671"): ((S.DYNAMIC_F,), 1.4),
    ("Dynamic", "a470eff6"): ((S.DYNAMIC_F, S.DYNAMIC_F), 1.4),
    ("Dynamic", "368f61fc"): ((S.DYNAMIC_F, S.DYNAMIC_F, S.DYNAMIC_F), 1.4),
    ("Dynamic", "460346c2"): ((S.DYNAMIC_M, S.DYNAMIC_F), 1.4),
    ("Dynamic", "a5bf304c"): ((S.DYNAMIC_M, S.DYNAMIC_P), 1.0),
    ("Dynamic", "c2844657"): ((S.DYNAMIC_S, S.DYNAMIC_F), 1.4),
    ("Dynamic", "84e9b750"): ((S.DYNAMIC_F, S.DYNAMIC_P), 1.4),
    ("Dynamic", "67bd604b"): ((S.DYNAMIC_F, None), 1.4),
    ("OttavaSegment", "df60d053"): ((S.OTTAVA,), 0.8),
    ("Symbol", "f72c48a8"): ((S.PEDAL,), 1.8),
    ("Symbol", "9b3a6333"): ((S.PEDAL_UP,), 1.5),
    ("Bracket", "2678a46a"): ((S.BRACE,), 0.0),
}
#: Accidentals of key signatures have the same shapes.
_SAME_SHAPES = {"KeySig": "Accidental"}
#: Rests of a whole and a half are one shape: what counts is which of its edges is on a line.
_BLOCK = "b5cb6409"
#: Dots of repeats, and parentheses of courtesy accidentals: shapes that are no symbol of their own.
NO_SYMBOLS = {("BarLine", "4246c8e9"), ("Accidental", "cdee8441")}
#: Classes every outline of which must be known, or the page is not.
MUST_BE_KNOWN = {"Note", "Rest", "Accidental", "KeySig", "Clef", "TimeSig", "Tuplet"}

_PAIR = re.compile(r"(-?[\d.]+(?:e-?\d+)?),(-?[\d.]+(?:e-?\d+)?)")


@dataclass(frozen=True, slots=True)
class Drawn:
    """An element as drawn: `name` is MuseScore's class; points in px, `width` of its stroke."""

    name: str
    points: NDArray[np.float64]
    shape: str
    width: float

    @property
    def box(self) -> Box:
        """Left, top, right, bottom; the stroke is not counted."""
        (left, top), (right, bottom) = self.points.min(0), self.points.max(0)
        return float(left), float(top), float(right), float(bottom)


@dataclass(frozen=True, slots=True)
class Drawing:
    """A page: its elements, the middle and the ends of each staff (top down), and px to a unit of the SVG."""

    elements: list[Drawn]
    staves: list[tuple[float, float, float]]
    px: float

    def found(self) -> Iterator[tuple[S, Box, float]]:
        """Symbols that are glyphs: class, box, and the height that gives the position.

        Raises:
            ValueError: an outline that must be known is not.
        """
        for each in self.elements:
            name = _SAME_SHAPES.get(each.name, each.name)
            left, top, right, bottom = each.box
            if (name, each.shape) == ("Rest", _BLOCK):
                yield self._block_rest(each.box)
                continue
            known = SHAPES.get((name, each.shape))
            if known is None:
                if each.name in MUST_BE_KNOWN and each.shape and (name, each.shape) not in NO_SYMBOLS:
                    raise ValueError(f"MuseScore drew a {each.name} of unknown shape {each.shape}")
                continue
            kinds, origin = known
            scale = (bottom - top) / (2 * origin) if name == "Note" else ENGRAVED_SPACE_PX
            share = (right - left) / len(kinds)
            for index, kind in enumerate(kinds):
                if kind is not None:
                    part = (left + index * share, top, left + (index + 1) * share, bottom)
                    yield kind, part, top + origin * scale

    def _block_rest(self, box: Box) -> tuple[S, Box, float]:
        middle = self.staves[self.nearest_staff((box[1] + box[3]) / 2)][0]
        off_line = [
            abs((y - middle) / ENGRAVED_SPACE_PX - round((y - middle) / ENGRAVED_SPACE_PX)) for y in box[1::2]
        ]
        if off_line[0] < off_line[1]:
            return S.REST_WHOLE, box, box[1]
        return S.REST_HALF, box, box[3]

    def nearest_staff(self, y: float) -> int:
        """Index of the staff whose middle line is nearest."""
        return int(np.argmin([abs(middle - y) for middle, _, _ in self.staves]))


def read_drawing(svg: bytes) -> Drawing:
    """Read a page that MuseScore wrote.

    Raises:
        ValueError: it has no staves of five lines.
    """
    root = etree.fromstring(svg)
    lines = [_points(e.get("points", ""), "") for e in root if e.get("class") == "StaffLines"]
    heights = sorted({round(float(line[0, 1]), 2) for line in lines})
    if len(heights) < 5 or len(heights) % 5:
        raise ValueError("a page without staves of five lines")
    px = ENGRAVED_SPACE_PX / (heights[1] - heights[0])
    staves = []
    for middle in heights[2::5]:
        ends = np.concatenate([line[:, 0] for line in lines if abs(line[0, 1] - middle) < 0.05])
        staves.append((middle * px, float(ends.min()) * px, float(ends.max()) * px))
    elements = []
    for each in root:
        name, tag = each.get("class", ""), etree.QName(each).localname
        if tag in ("path", "polyline") and name not in ("StaffLines", "LedgerLine"):
            outline = each.get("d") or each.get("points") or ""
            commands = re.sub("[^A-DF-Za-df-z]", "", outline)
            shape = f"{zlib.crc32(commands.encode()):08x}" if tag == "path" else ""
            points = _points(outline, each.get("transform", "")) * px
            elements.append(Drawn(name, points, shape, float(each.get("stroke-width", "0")) * px))
    return Drawing([each for each in elements if len(each.points)], staves, px)


def _points(outline: str, transform: str) -> NDArray[np.float64]:
    """Points of an outline, control points and all, moved and scaled by a matrix without rotation."""
    points = np.array(_PAIR.findall(outline), np.float64).reshape(-1, 2)
    if transform:
        numbers = [float(number) for number in re.findall(r"-?[\d.]+(?:e-?\d+)?", transform)]
        points = points * [numbers[0], numbers[3]] + numbers[4:6]
    return points
