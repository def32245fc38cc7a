"""Matches a page that MuseScore drew with the truth of its music, as Verovio's reading gives it.

Which note a drawn head is follows from its measure, height and kind, and the order from left to right, since
Verovio draws the same music with the same heads at the same staff positions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.engraving.boxes import kinds_of_barline
from pipelines.engraving.glyphs import Box
from pipelines.engraving.musescore_drawing import Drawing, Drawn
from pipelines.engraving.pages import (
    ENGRAVED_SPACE_PX,
    MEASURE_FIELDS,
    STAFF_FIELDS,
    SYMBOL_FIELDS,
    UNKNOWN_POSITION,
)
from services.omr.vocabulary import CLASS_INDEX, HEADS, RESTS, STEM_DOWN, STEM_NONE, STEM_UP
from services.omr.vocabulary import SymbolClass as S

_HALF = ENGRAVED_SPACE_PX / 2
#: What is taken from the truth for a head or a rest.
_KNOWN = ("duration", "dots", "grace", "tuplet", "tied_back", "tied_on", "chord", "beam", "voice",
          "onset", "length", "diatonic", "alter")  # fmt: skip
_UNKNOWN = {
    "staff": -1, "position": UNKNOWN_POSITION, "duration": -1, "dots": -1, "stem": -1, "grace": -1,
    "tuplet": -1, "tied_back": -1, "tied_on": -1, "chord": -1, "beam": -1, "measure": -1, "voice": -1,
    "onset": -1.0, "length": -1.0, "diatonic": -1, "alter": 0,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PlacedMeasure:
    """Where a measure lies, in px: index in the piece, system on the page, left, right, top, bottom."""

    index: int
    system: int
    left: float
    right: float
    top: float
    bottom: float


class PageMatch:
    """One page: the drawing, its measures, and symbols and measures of the whole piece as Verovio has them.

    Raises:
        ValueError: a staff is part of no measure.
    """

    def __init__(
        self,
        drawing: Drawing,
        measures: list[PlacedMeasure],
        truth: NDArray[np.void],
        lengths: NDArray[np.void],
    ) -> None:
        self._drawing, self._measures, self._truth, self._lengths = drawing, measures, truth, lengths
        self._systems: dict[int, list[int]] = defaultdict(list)
        for staff, (middle, _, _) in enumerate(drawing.staves):
            system = next((m.system for m in measures if m.top - 1 <= middle <= m.bottom + 1), None)
            if system is None:
                raise ValueError("a staff that is part of no measure")
            self._systems[system].append(staff)
        self._rows: list[dict[str, Any]] = []

    def arrays(self) -> tuple[NDArray[np.void], NDArray[np.void], NDArray[np.void]]:
        """Symbols, staves and measures, as `pages` describes them.

        Raises:
            ValueError: what is drawn is not what the truth says.
        """
        for kind, box, y in self._drawing.found():
            self._add(kind, box, y)
        self._match()
        self._stems()
        self._lines()
        self._curves()
        symbols = np.array(
            [tuple(row[n] for n in SYMBOL_FIELDS.names or ()) for row in self._rows], SYMBOL_FIELDS
        )
        return symbols, self._staff_rows(), self._measure_rows()

    def _add(self, kind: S, box: Box, y: float | None = None) -> dict[str, Any]:
        left, top, right, bottom = box
        middle_y = y if y is not None else (top + bottom) / 2
        staff = self._drawing.nearest_staff(middle_y)
        x = (left + right) / 2
        systems = {number for number, staves in self._systems.items() if staff in staves}
        inside = [n for n, m in enumerate(self._measures) if m.system in systems and m.left <= x < m.right]
        row = {
            **_UNKNOWN,
            "kind": CLASS_INDEX[kind],
            "x": x,
            "y": (top + bottom) / 2,
            "width": right - left,
            "height": bottom - top,
            "staff": staff,
            "measure": inside[0] if inside else -1,
            "origin": middle_y,
        }
        if y is not None:
            row["position"] = round((self._drawing.staves[staff][0] - y) / _HALF)
        self._rows.append(row)
        return row

    # ---- heads and rests

    def _match(self) -> None:
        """Give every head and rest what the truth knows of it: same measure, height and kind, in order."""
        heads = {CLASS_INDEX[kind] for kind in HEADS}
        rests = {CLASS_INDEX[kind] for kind in RESTS}
        drawn: dict[tuple[int, ...], list[dict[str, Any]]] = defaultdict(list)
        for row in self._rows:
            if row["kind"] in heads:
                grace = int(row["height"] < 0.95 * ENGRAVED_SPACE_PX)
                drawn[row["measure"], row["kind"], grace, row["staff"], row["position"]].append(row)
            elif row["kind"] in rests:
                drawn[row["measure"], row["kind"], 0, row["staff"], 0].append(row)
        expected = self._expected(heads, rests)
        if {key: len(rows) for key, rows in drawn.items()} != {
            key: len(each) for key, each in expected.items()
        }:
            raise ValueError("other heads or rests than the music has")
        for key, rows in drawn.items():
            order = sorted(rows, key=lambda row: (round(row["x"] / ENGRAVED_SPACE_PX / 1.5), row["y"]))
            for row, known in zip(order, expected[key], strict=True):
                row.update({name: known[name].item() for name in _KNOWN})
                row["staff"], row["position"] = self._printed(known, row)

    def _expected(self, heads: set[int], rests: set[int]) -> dict[tuple[int, ...], list[Any]]:
        expected: dict[tuple[int, ...], list[Any]] = defaultdict(list)
        for number, measure in enumerate(self._measures):
            of_measure = self._truth[self._truth["measure"] == measure.index]
            staves = self._systems[measure.system]
            for known in sorted(of_measure, key=lambda each: (each["onset"], each["voice"])):
                if known["kind"] not in heads | rests:
                    continue
                if not 0 <= known["staff"] < len(staves):
                    raise ValueError("a staff that is not drawn")
                staff, position = staves[known["staff"]], 0
                if known["kind"] in heads:
                    y = self._drawing.staves[staff][0] - known["position"] * _HALF
                    staff = self._drawing.nearest_staff(y)
                    position = round((self._drawing.staves[staff][0] - y) / _HALF)
                expected[number, int(known["kind"]), max(0, int(known["grace"])), staff, position].append(
                    known
                )
        return expected

    def _printed(self, known: Any, row: dict[str, Any]) -> tuple[int, int]:
        """The staff that a head or rest belongs to as printed, and its position there."""
        staff = self._systems[self._measures[row["measure"]].system][known["staff"]]
        return staff, round((self._drawing.staves[staff][0] - row["origin"]) / _HALF)

    def _stems(self) -> None:
        """Boxes of stems, and which way the stem of each head goes."""
        heads = [row for row in self._rows if row["kind"] < len(HEADS)]
        directions: dict[int, set[int]] = defaultdict(set)
        for each in self._of("Stem"):
            left, top, right, bottom = each.box
            self._add(S.STEM, (left - each.width / 2, top, right + each.width / 2, bottom))
            on = [
                h
                for h in heads
                if abs(abs(h["x"] - left) - h["width"] / 2) < 3 and top - 8 < h["y"] < bottom + 8
            ]
            if on:
                above = min(h["y"] for h in on) - top
                below = bottom - max(h["y"] for h in on)
                for head in on:
                    directions[id(head)].add(STEM_UP if above > below else STEM_DOWN)
        for head in heads:
            ways = directions[id(head)]
            both = STEM_UP if head["voice"] % 2 else STEM_DOWN
            head["stem"] = STEM_NONE if not ways else ways.pop() if len(ways) == 1 else both

    # ---- lines and curves

    def _of(self, *names: str) -> list[Drawn]:
        return [each for each in self._drawing.elements if each.name in names]

    def _lines(self) -> None:
        """Beams and barlines."""
        for each in self._of("Beam"):
            self._add(S.BEAM, each.box)
        bars = [each for each in self._of("BarLine") if not each.shape]
        dots = [each.box for each in self._of("BarLine") if each.shape]
        for staff, (middle, left, _) in enumerate(self._drawing.staves):
            crossing = sorted(
                (bar for bar in bars if bar.box[1] - 1 <= middle <= bar.box[3] + 1),
                key=lambda bar: bar.box[0],
            )
            beside = [
                (dot[0] + dot[2]) / 2
                for dot in dots
                if abs((dot[1] + dot[3]) / 2 - middle) < ENGRAVED_SPACE_PX
            ]
            for group in _neighbours([bar for bar in crossing if bar.box[0] > left + _HALF or beside]):
                self._barline(group, beside, staff)

    def _barline(self, group: list[Drawn], dots: list[float], staff: int) -> None:
        middle, staff_left, _ = self._drawing.staves[staff]
        unit = 180.0 / ENGRAVED_SPACE_PX
        left = min(bar.box[0] - bar.width / 2 for bar in group)
        right = max(bar.box[0] + bar.width / 2 for bar in group)
        near = [x * unit for x in dots if left - 1.5 * _HALF * 2 < x < right + 1.5 * _HALF * 2]
        if not near and right < staff_left + _HALF:
            return  # the line at a system's left end
        strokes = [(bar.box[0] * unit, 0.0, 0.0, bar.width * unit) for bar in group]
        for kind, x0, x1 in kinds_of_barline(strokes, near, left * unit, right * unit):
            box = (x0 / unit, middle - 4 * _HALF, x1 / unit, middle + 4 * _HALF)
            self._add(kind, box, middle)

    def _curves(self) -> None:
        """Ends of ties and slurs that are at heads or stems."""
        heads = np.array([(row["x"], row["y"]) for row in self._rows if row["kind"] < len(HEADS)]).reshape(
            -1, 2
        )
        tips = [
            (row["x"], row["y"] + way * row["height"] / 2)
            for row in self._rows
            if row["kind"] == CLASS_INDEX[S.STEM]
            for way in (-1, 1)
        ]
        everything = np.concatenate([heads, np.array(tips).reshape(-1, 2)])
        for each in self._of("TieSegment", "SlurSegment"):
            tie = each.name == "TieSegment"
            points = heads if tie else everything
            reach = np.array((1.9, 1.6) if tie else (1.5, 3.0)) * ENGRAVED_SPACE_PX
            names = (S.TIE_START, S.TIE_END) if tie else (S.SLUR_START, S.SLUR_END)
            half = 0.4 * ENGRAVED_SPACE_PX
            for name, (x, y) in zip(names, each.points[[0, 3]], strict=True):
                if (abs(points - (x, y)) < reach).all(axis=1).any():
                    self._add(name, (x - half, y - half, x + half, y + half))

    # ---- staves and measures

    def _staff_rows(self) -> NDArray[np.void]:
        braces = [row for row in self._rows if row["kind"] == CLASS_INDEX[S.BRACE]]
        rows: list[tuple[Any, ...]] = []
        for system, staves in sorted(self._systems.items()):
            part = list(range(len(staves)))
            for brace in braces:
                held = [
                    n
                    for n, staff in enumerate(staves)
                    if abs(self._drawing.staves[staff][0] - brace["y"]) < brace["height"] / 2
                ]
                for n in held:
                    part[n] = held[0]
            numbers = {first: n for n, first in enumerate(dict.fromkeys(part))}
            for n, staff in enumerate(staves):
                middle, left, right = self._drawing.staves[staff]
                rows.append((system, numbers[part[n]], left, right, middle))
        return np.array(rows, STAFF_FIELDS)

    def _measure_rows(self) -> NDArray[np.void]:
        return np.array(
            [(m.system, m.left, m.right, self._lengths[m.index]["duration"]) for m in self._measures],
            MEASURE_FIELDS,
        )


def _neighbours(bars: list[Drawn]) -> Iterator[list[Drawn]]:
    """Strokes that stand close together: one barline each."""
    group: list[Drawn] = []
    for bar in bars:
        if group and bar.box[0] - group[-1].box[0] > 1.2 * ENGRAVED_SPACE_PX:
            yield group
            group = []
        group.append(bar)
    if group:
        yield group
