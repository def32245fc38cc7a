"""Where the measures of a system begin and end.

A barline is drawn on every staff of a system, and nothing crosses it: where all staves leave room for it, few
of them need to show it; where a head, a rest or a beam is in its way, most of them must.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from services.music.score import Barline
from services.omr.assembly.placing import StaffSymbol
from services.omr.page import System
from services.omr.vocabulary import BARLINES, HEADS, RESTS, SymbolClass

_CLEAR_SHARE: Final = 0.2
_CLEAR_WEIGHT: Final = 0.45
_CROSSED_SHARE: Final = 0.52
_HEAD_ROOM_PX: Final = 7.5
_BEAM_ROOM_PX: Final = 6.0
_SAME_LINE_PX: Final = 12.0
_SAME_BAR_PX: Final = 24.0
_HEAD_CLEARANCE_PX: Final = 4.0

_CLOSINGS: Final = {
    SymbolClass.REPEAT_RIGHT: Barline.REPEAT_END,
    SymbolClass.BARLINE_FINAL: Barline.FINAL,
    SymbolClass.BARLINE_DOUBLE: Barline.DOUBLE,
}


@dataclass(frozen=True, slots=True)
class MeasureSpan:
    """A measure of a system, in px of the prepared page.

    Attributes:
        left, right: from barline to barline; the first begins at the system's left end.
        opens_repeat: whether a repeat begins with it.
        barline: the line at its end.
    """

    left: float
    right: float
    opens_repeat: bool
    barline: Barline

    def holds(self, x: float) -> bool:
        """Whether a point lies in it."""
        return self.left <= x < self.right


@dataclass(frozen=True, slots=True)
class _Line:
    """A barline across the system: centre, share of the staves and weight, and what it looks like."""

    x: float
    share: float
    weight: float
    kinds: frozenset[SymbolClass]


def find_measures(system: System, symbols: Sequence[StaffSymbol]) -> tuple[MeasureSpan, ...]:
    """The measures of a system from left to right; none where nothing is played."""
    events = sorted(each.x for each in symbols if each.kind in HEADS or each.kind in RESTS)
    if not events:
        return ()
    left = min(float(staff.x[0]) for staff in system.staves)
    right = max(float(staff.x[-1]) for staff in system.staves)
    lines = [line for line in _lines(symbols, len(system.staves)) if _believed(line, symbols)]
    bars = _merged(lines, events)
    first = events[0] - _HEAD_CLEARANCE_PX
    opens = any(SymbolClass.REPEAT_LEFT in bar.kinds for bar in bars if bar.x < first)
    spans: list[MeasureSpan] = []
    start = left
    for bar in bars:
        if bar.x < first:
            continue
        spans.append(MeasureSpan(start, bar.x, opens, _closing(bar)))
        start, opens = bar.x, SymbolClass.REPEAT_LEFT in bar.kinds
    if not spans or events[-1] > start + _HEAD_CLEARANCE_PX:
        spans.append(MeasureSpan(start, max(right, events[-1]) + 1, opens, Barline.REGULAR))
    return tuple(spans)


def _lines(symbols: Sequence[StaffSymbol], staves: int) -> list[_Line]:
    """Barlines of all staves, gathered where they stand above each other."""
    groups: list[list[StaffSymbol]] = []
    for each in sorted((s for s in symbols if s.kind in BARLINES), key=lambda s: s.x):
        if groups and each.x - groups[-1][0].x <= _SAME_LINE_PX:
            groups[-1].append(each)
        else:
            groups.append([each])
    lines = []
    for group in groups:
        best: dict[int, StaffSymbol] = {}
        for each in group:
            if each.staff not in best or each.symbol.confidence > best[each.staff].symbol.confidence:
                best[each.staff] = each
        weights = [each.symbol.confidence for each in best.values()]
        x = sum(each.x * each.symbol.confidence for each in best.values()) / sum(weights)
        lines.append(_Line(x, sum(weights) / staves, sum(weights), _kinds(group, sum(weights))))
    return lines


def _believed(line: _Line, symbols: Sequence[StaffSymbol]) -> bool:
    if any(_crosses(each, line.x) for each in symbols):
        return line.share >= _CROSSED_SHARE
    return line.share >= _CLEAR_SHARE and line.weight >= _CLEAR_WEIGHT


def _crosses(symbol: StaffSymbol, x: float) -> bool:
    """Whether a symbol stands where a barline at x would be."""
    if symbol.kind is SymbolClass.BEAM:
        return symbol.left + _BEAM_ROOM_PX < x < symbol.right - _BEAM_ROOM_PX
    return (symbol.kind in HEADS or symbol.kind in RESTS) and abs(symbol.x - x) < _HEAD_ROOM_PX


def _kinds(group: Sequence[StaffSymbol], total: float) -> frozenset[SymbolClass]:
    """The classes that a good part of the staves agree on."""
    weights: dict[SymbolClass, float] = {}
    for each in group:
        weights[each.kind] = weights.get(each.kind, 0.0) + each.symbol.confidence
    return frozenset(kind for kind, weight in weights.items() if weight >= total / 3)


def _merged(lines: Sequence[_Line], events: Sequence[float]) -> list[_Line]:
    """Lines that are drawn closely side by side as one: two halves of one barline."""
    bars: list[_Line] = []
    for line in lines:
        if bars and line.x - bars[-1].x <= _SAME_BAR_PX:
            between = any(bars[-1].x < x < line.x for x in events)
            if not between:
                last = bars.pop()
                bars.append(replace(line, kinds=last.kinds | line.kinds))
                continue
        bars.append(line)
    return bars


def _closing(bar: _Line) -> Barline:
    return next((barline for kind, barline in _CLOSINGS.items() if kind in bar.kinds), Barline.REGULAR)
