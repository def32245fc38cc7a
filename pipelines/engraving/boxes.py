"""Every symbol of a page that Verovio drew, with its box, from the page's SVG.

Lengths inside are in the SVG's own units (180 to a staff space of full size); `read_svg` gives px.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from lxml import etree
from numpy.typing import NDArray

from pipelines.engraving.glyphs import Box, outline_box, symbols_of
from pipelines.engraving.pages import MEASURE_FIELDS, STAFF_FIELDS, SYMBOL_FIELDS, UNKNOWN_POSITION
from pipelines.engraving.truth import EventTruth, MeiTruth
from services.omr.vocabulary import CLASS_INDEX, HEADS, RESTS, STEM_DOWN, STEM_NONE, STEM_UP
from services.omr.vocabulary import SymbolClass as S

_SVG: Final = "{http://www.w3.org/2000/svg}"
_HREF: Final = "{http://www.w3.org/1999/xlink}href"
_TRANSLATE: Final = re.compile(
    r"translate\(([-\d.]+),\s*([-\d.]+)\)(?:\s*scale\(([-\d.]+)(?:,\s*([-\d.]+))?)?"
)
_LINE: Final = re.compile(r"M\s*([-\d.]+)[ ,]([-\d.]+)\s*L\s*([-\d.]+)[ ,]([-\d.]+)")
_CURVE: Final = re.compile(r"M\s*([-\d.]+)[ ,]([-\d.]+)\s*C[^C]*?([-\d.]+)[ ,]([-\d.]+)\s*C")
_SPACE: Final = 180.0
_END_BOX: Final = 0.8 * _SPACE  # of the end of a tie or slur
_THICK: Final = 60.0

_HEADS_AND_RESTS: Final = HEADS | RESTS


def _class_of(element: etree._Element) -> str:
    return (element.get("class") or "").split(" ")[0]


@dataclass(frozen=True, slots=True)
class _StaffHere:
    """A staff within one measure: index in the page's staves, middle line."""

    index: int
    middle: float


@dataclass(frozen=True, slots=True)
class _Context:
    """What the elements above say of the one being walked."""

    staff: _StaffHere | None = None
    event: EventTruth | None = None
    stem: int = STEM_NONE
    chord: int = -1
    beam: int = -1


@dataclass(slots=True)
class _Page:
    """What has been found so far."""

    symbols: list[tuple[Any, ...]] = field(default_factory=list)
    staves: list[list[float]] = field(default_factory=list)
    measures: list[tuple[float, ...]] = field(default_factory=list)
    #: Staves of the measure at hand by their number, for notes that are printed on another staff.
    by_number: dict[str, _StaffHere] = field(default_factory=dict)
    curves: list[tuple[str, int, float, float, float, float]] = field(default_factory=list)
    groups: int = 0


class PageReader:
    """Reads the pages of one document."""

    def __init__(self, truth: MeiTruth) -> None:
        self._truth = truth
        self._glyph_boxes: dict[str, Box] = {}
        self._page = _Page()

    def read_svg(self, svg: str) -> tuple[NDArray[np.void], NDArray[np.void], NDArray[np.void]]:
        """Symbols, staves and measures of a page, as `pages` describes them, in px of the SVG's size."""
        root = etree.fromstring(svg.encode())
        self._page = _Page()
        self._glyph_boxes = dict(_glyph_boxes(root))
        scaled = next(e for e in root if _class_of(e) == "definition-scale")
        px = float((root.get("width") or "0").removesuffix("px")) / float(
            scaled.get("viewBox", "").split()[2]
        )
        margin = next(e for e in scaled if _class_of(e) == "page-margin")
        left, top, *_ = _translated(margin)
        for number, system in enumerate(e for e in margin.iter(_SVG + "g") if _class_of(e) == "system"):
            self._system(system, number)
        self._ends_of_curves()
        return self._arrays(px, left, top)

    def _arrays(
        self, px: float, left: float, top: float
    ) -> tuple[NDArray[np.void], NDArray[np.void], NDArray[np.void]]:
        page = self._page
        symbols = np.array(page.symbols, SYMBOL_FIELDS)
        staves = np.array([tuple(staff) for staff in page.staves], STAFF_FIELDS)
        measures = np.array(page.measures, MEASURE_FIELDS)
        symbols["x"] = (symbols["x"] + left) * px
        symbols["y"] = (symbols["y"] + top) * px
        for name in ("width", "height"):
            symbols[name] *= px
        for each in (staves, measures):
            for name in ("left", "right"):
                each[name] = (each[name] + left) * px
        staves["y"] = (staves["y"] + top) * px
        return symbols, staves, measures

    # ---- systems, measures, staves

    def _system(self, system: etree._Element, number: int) -> None:
        first_staff = len(self._page.staves)
        # What began in the system before goes on here outside of any measure: at the first.
        goes_on = [e for e in system if "spanning" in (e.get("class") or "").split(" ")]
        for measure in (e for e in system if _class_of(e) == "measure"):
            self._measure(measure, number, first_staff)
            while goes_on:
                self._walk(goes_on.pop(), _Context())
        count = len(self._page.staves) - first_staff
        if count:
            self._braces(system, first_staff, count)

    def _measure(self, measure: etree._Element, system: int, first_staff: int) -> None:
        page = self._page
        page.by_number = {}
        drawn: list[tuple[etree._Element, _StaffHere, Box]] = []
        for order, staff in enumerate(e for e in measure if _class_of(e) == "staff"):
            lines = _straight_lines(staff)[:5]
            if len(lines) < 5:
                continue
            middle = (lines[2][1] + lines[2][3]) / 2
            index = first_staff + order
            if index == len(page.staves):
                page.staves.append([system, order, lines[0][0], lines[0][2], middle])
            page.staves[index][3] = max(page.staves[index][3], lines[0][2])
            here = _StaffHere(index, middle)
            page.by_number[self._truth.staff_numbers.get(staff.get("id", ""), str(order + 1))] = here
            drawn.append((staff, here, lines[0]))
        if not drawn:
            return
        quarters = float(self._truth.measure_quarters.get(measure.get("id", ""), 0))
        page.measures.append((system, drawn[0][2][0], drawn[0][2][2], quarters))
        for staff, here, _ in drawn:
            self._walk(staff, _Context(staff=here))
        for other in (e for e in measure if _class_of(e) != "staff"):
            if _class_of(other) == "barLine":
                self._barline(other)
            else:
                self._walk(other, _Context())

    def _braces(self, system: etree._Element, first_staff: int, count: int) -> None:
        """Number the parts by their braces, and note the braces themselves."""
        page = self._page
        middles = [page.staves[first_staff + i][4] for i in range(count)]
        part = list(range(count))
        for group in (e for e in system.iter(_SVG + "g") if _class_of(e) == "grpSym"):
            boxes = [outline_box(p.get("d", "")) for p in group.findall(_SVG + "path")]
            if len(boxes) != 2:
                continue  # a bracket, or a line
            box = _union(boxes)
            inside = [i for i, y in enumerate(middles) if box[1] <= y <= box[3]]
            for i in inside:
                part[i] = inside[0]
            self._add(S.BRACE, box, _Context())
        numbers = {first: n for n, first in enumerate(dict.fromkeys(part))}
        for i in range(count):
            page.staves[first_staff + i][1] = numbers[part[i]]

    # ---- elements

    def _walk(self, element: etree._Element, context: _Context) -> None:
        kind = _class_of(element)
        if kind in ("note", "rest", "mRest", "chord"):
            context = self._event_context(element, kind, context)
        elif kind in ("beam", "beamSpan"):
            self._page.groups += 1
            context = _Context(context.staff, context.event, context.stem, context.chord, self._page.groups)
        elif kind in ("tie", "slur", "lv"):
            self._curve(element, kind, context)
        for child in element:
            tag = child.tag.removeprefix(_SVG)
            if tag == "g":
                self._walk(child, context)
            elif tag == "use":
                self._glyph(child, context)
            elif tag == "ellipse" and kind == "dots":
                x, y, r = (float(child.get(name, "0")) for name in ("cx", "cy", "rx"))
                self._add(S.AUGMENTATION_DOT, (x - r, y - r, x + r, y + r), context, origin_y=y)
            elif tag == "path" and kind == "stem":
                for x0, y0, x1, y1 in _lines_of(child):
                    thick = float(child.get("stroke-width", "18")) / 2
                    self._add(S.STEM, (x0 - thick, min(y0, y1), x1 + thick, max(y0, y1)), context)
            elif tag == "polygon" and kind in ("beam", "beamSpan"):
                self._add(S.BEAM, _points_box(child.get("points", "")), context)

    def _event_context(self, element: etree._Element, kind: str, context: _Context) -> _Context:
        event = self._truth.events.get(element.get("id", ""), context.event)
        stem, chord = context.stem, context.chord
        if kind == "chord" or chord < 0 or kind in ("rest", "mRest"):
            self._page.groups += 1
            chord = self._page.groups
        for child in element:
            if _class_of(child) == "stem":
                for _, y0, _, y1 in _straight_lines(child):
                    stem = STEM_UP if y1 < y0 else STEM_DOWN
        staff = context.staff
        if event is not None and kind == "note":
            staff = self._page.by_number.get(event.staff, staff)
        return _Context(staff, event, stem, chord, context.beam)

    def _glyph(self, use: etree._Element, context: _Context) -> None:
        code = use.get(_HREF, "#")[1:].split("-")[0]
        kinds = symbols_of(code)
        outline = self._glyph_boxes.get(use.get(_HREF, "#")[1:])
        if not kinds or outline is None:
            return
        x, y, scale_x, scale_y = _translated(use)
        left, right = sorted((x + outline[0] * scale_x, x + outline[2] * scale_x))
        box = (left, y + outline[1] * scale_y, right, y + outline[3] * scale_y)
        share = (box[2] - box[0]) / len(kinds)
        for i, kind in enumerate(kinds):
            if kind is not None:
                part = (box[0] + i * share, box[1], box[0] + (i + 1) * share, box[3])
                self._add(kind, part, context, origin_y=y)

    def _barline(self, element: etree._Element) -> None:
        strokes = []
        for path in element.findall(_SVG + "path"):
            for x0, y0, _, y1 in _lines_of(path):
                strokes.append((x0, min(y0, y1), max(y0, y1), float(path.get("stroke-width", "27"))))
        dots = [_translated(use)[0] for use in element.findall(_SVG + "use")]
        dots += [float(dot.get("cx", "0")) for dot in element.iter(_SVG + "ellipse")]
        for staff in self._page.by_number.values():
            crossing = [s for s in strokes if s[1] - 1 <= staff.middle <= s[2] + 1]
            if not crossing:
                continue
            left = min(x - width / 2 for x, _, _, width in crossing)
            right = max(x + width / 2 for x, _, _, width in crossing)
            for kind, x0, x1 in kinds_of_barline(crossing, dots, left, right):
                box = (x0, staff.middle - 2 * _SPACE, x1, staff.middle + 2 * _SPACE)
                self._add(kind, box, _Context(staff=staff), origin_y=staff.middle)

    def _curve(self, element: etree._Element, kind: str, context: _Context) -> None:
        for path in element.findall(_SVG + "path"):
            match = _CURVE.match(path.get("d", ""))
            if match:
                x0, y0, x1, y1 = map(float, match.groups())
                self._page.curves.append((kind, len(self._page.measures) - 1, x0, y0, x1, y1))

    def _ends_of_curves(self) -> None:
        """Ends of ties and slurs that are at notes; where a curve is broken at a line's end there is none."""
        heads = np.array([(s[1], s[2]) for s in self._page.symbols if s[0] < len(HEADS)]).reshape(-1, 2)
        stems = np.array(
            [
                (s[1], s[2] + d * s[4] / 2)
                for s in self._page.symbols
                if s[0] == CLASS_INDEX[S.STEM]
                for d in (-1, 1)
            ]
        ).reshape(-1, 2)
        for kind, _, x0, y0, x1, y1 in self._page.curves:
            points = heads if kind == "tie" else np.concatenate([heads, stems])
            reach_x, reach_y = (1.9, 1.6) if kind == "tie" else (1.5, 3.0)
            names = (S.TIE_START, S.TIE_END) if kind == "tie" else (S.SLUR_START, S.SLUR_END)
            for name, x, y in ((names[0], x0, y0), (names[1], x1, y1)):
                near = (abs(points[:, 0] - x) < reach_x * _SPACE) & (abs(points[:, 1] - y) < reach_y * _SPACE)
                if near.any():
                    half = _END_BOX / 2
                    self._add(name, (x - half, y - half, x + half, y + half), _Context())

    def _add(self, kind: S, box: Box, context: _Context, origin_y: float | None = None) -> None:
        staff, event = context.staff, context.event
        is_head, timed = kind in HEADS, kind in _HEADS_AND_RESTS
        position = UNKNOWN_POSITION
        if staff is not None and origin_y is not None:
            position = int(np.clip(round((staff.middle - origin_y) / (_SPACE / 2)), -90, 90))
        known = event if timed and event is not None else None
        width, height = box[2] - box[0], box[3] - box[1]
        small = is_head and width < 0.95 * _SPACE
        values = {
            "kind": CLASS_INDEX[kind],
            "x": (box[0] + box[2]) / 2,
            "y": (box[1] + box[3]) / 2,
            "width": width,
            "height": height,
            "staff": staff.index if staff is not None else -1,
            "position": position,
            "duration": known.value if known else -1,
            "dots": known.dots if known else -1,
            "stem": context.stem if is_head else -1,
            "grace": int(known.grace if known else small) if is_head else -1,
            "tuplet": known.tuplet if known else -1,
            "tied_back": int(known.tied_back) if is_head and known else -1,
            "tied_on": int(known.tied_on) if is_head and known else -1,
            "chord": context.chord if timed else -1,
            "beam": context.beam if timed else -1,
            "measure": len(self._page.measures) - 1,
            "voice": known.voice if known else -1,
            "onset": float(known.onset) if known else -1.0,
            "length": float(known.length) if known else -1.0,
            "diatonic": known.diatonic if is_head and known else -1,
            "alter": known.alter if is_head and known else 0,
        }
        self._page.symbols.append(tuple(values[name] for name in SYMBOL_FIELDS.names or ()))


def _glyph_boxes(root: etree._Element) -> Iterator[tuple[str, Box]]:
    for glyph in root.iterfind(f"{_SVG}defs/*"):
        path = glyph.find(_SVG + "path")
        if path is not None and path.get("d"):
            left, low, right, high = outline_box(path.get("d", ""))
            yield glyph.get("id", ""), (left, -high, right, -low)


def kinds_of_barline(
    strokes: list[tuple[float, float, float, float]], dots: list[float], left: float, right: float
) -> list[tuple[S, float, float]]:
    """What a barline is, with its left and right edges; one that repeats both ways is two."""
    before = [x for x in dots if x < left]
    after = [x for x in dots if x >= right - 1]
    if before and after:
        middle = (left + right) / 2
        return [(S.REPEAT_RIGHT, min(before), middle), (S.REPEAT_LEFT, middle, max(after) + 0.4 * _SPACE)]
    if before:
        return [(S.REPEAT_RIGHT, min(before), right)]
    if after:
        return [(S.REPEAT_LEFT, left, max(after) + 0.4 * _SPACE)]
    xs = {round(x) for x, *_ in strokes}
    if any(width > _THICK for *_, width in strokes):
        return [(S.BARLINE_FINAL, left, right)]
    return [(S.BARLINE_DOUBLE if len(xs) > 1 else S.BARLINE_SINGLE, left, right)]


def _translated(element: etree._Element) -> tuple[float, float, float, float]:
    match = _TRANSLATE.match(element.get("transform", ""))
    if match is None:
        return 0.0, 0.0, 1.0, 1.0
    x, y, scale_x, scale_y = match.groups()
    across = float(scale_x or 1)
    return float(x), float(y), across, float(scale_y or across)


def _lines_of(path: etree._Element) -> list[Box]:
    match = _LINE.match(path.get("d", ""))
    return [tuple(map(float, match.groups()))] if match else []  # type: ignore[list-item]


def _straight_lines(element: etree._Element) -> list[Box]:
    return [line for path in element.findall(_SVG + "path") for line in _lines_of(path)]


def _points_box(points: str) -> Box:
    pairs = np.array([tuple(map(float, pair.split(","))) for pair in points.split()])
    (left, top), (right, bottom) = pairs.min(0), pairs.max(0)
    return float(left), float(top), float(right), float(bottom)


def _union(boxes: list[Box]) -> Box:
    each = np.array(boxes)
    return float(each[:, 0].min()), float(each[:, 1].min()), float(each[:, 2].max()), float(each[:, 3].max())
