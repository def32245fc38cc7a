"""Symbols reread in the light of their staff: what goes to the `context` model, and what comes of its answer.

The candidates of each staff, in reading order, go to the model as one sequence (or as several that overlap,
on a long staff). It is the second look: what the detector was unsure of and the staff speaks against is
dropped, and heads and rests are told their voice. The model also answers with classes, values and ties of its
own; those of the detector are kept, since the search over rhythm reads real scans better with them
(docs/models-pages.md).
Symbols on no staff, such as braces, stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.omr import contract
from services.omr.assembly.placing import StaffSymbol, place_symbols
from services.omr.assembly.recognition import RecognisedPage
from services.omr.page import Symbol
from services.omr.vocabulary import CLASS_INDEX

#: A candidate is dropped that the detector sees with less confidence than this ...
_SURE: Final = 0.6
#: ... and that its staff makes a symbol with less probability than this.
_LEAST_KEEP: Final = 0.2


@dataclass(frozen=True, slots=True)
class Window:
    """A run of candidates of one staff that is read at once.

    Attributes:
        symbols: index in the page's symbols of each, in reading order; at most `SEQUENCE`.
        first, last: the part of it, [first, last), whose readings are taken; the rest belongs to neighbours.
    """

    symbols: tuple[int, ...]
    first: int
    last: int


def windows_of(page: RecognisedPage) -> tuple[tuple[Window, ...], NDArray[np.float32]]:
    """Cut a page's candidates into windows.

    Returns:
        The windows, and their tensors: float32 [windows, SEQUENCE, CONTEXT_FIELDS].
    """
    windows: list[Window] = []
    tensors: list[NDArray[np.float32]] = []
    for system, placed in zip(page.systems, place_symbols(page), strict=True):
        for index, staff in enumerate(system.staves):
            line = sorted((s for s in placed if s.staff == index), key=lambda s: (s.x, -s.height))
            rows = _rows(line, float(staff.x[0]))
            for start, first, last in _cuts(len(line)):
                part = slice(start, start + contract.SEQUENCE)
                windows.append(Window(tuple(s.index for s in line[part]), first, last))
                tensor = np.zeros((contract.SEQUENCE, contract.CONTEXT_FIELDS), np.float32)
                tensor[: len(rows[part])] = rows[part]
                tensors.append(tensor)
    shape = (0, contract.SEQUENCE, contract.CONTEXT_FIELDS)
    return tuple(windows), np.stack(tensors) if tensors else np.zeros(shape, np.float32)


def reread(
    symbols: Sequence[Symbol], windows: Sequence[Window], readings: NDArray[np.float32]
) -> tuple[Symbol, ...]:
    """Take the model's readings over.

    Args:
        symbols: of the page, as they were when the windows were cut.
        windows: of the page.
        readings: float32 [windows, SEQUENCE, READING_FIELDS], the model's answer.
    """
    # A barline on several staves is read on each: the staff that is surest of it decides.
    best: dict[int, list[float]] = {}
    for window, reading in zip(windows, readings, strict=True):
        values = reading[window.first : window.last].tolist()
        for index, value in zip(window.symbols[window.first : window.last], values, strict=True):
            if index not in best or value[contract.KEEP] > best[index][contract.KEEP]:
                best[index] = value
    judged = ((symbol, best.get(index)) for index, symbol in enumerate(symbols))
    return tuple(
        symbol if value is None else replace(symbol, voice=_voice(value))
        for symbol, value in judged
        if value is None or symbol.confidence >= _SURE or value[contract.KEEP] >= _LEAST_KEEP
    )


def _voice(value: list[float]) -> tuple[float, float, float]:
    alone, upper, lower = value[contract.VOICE]
    return alone, upper, lower


def _rows(line: Sequence[StaffSymbol], left: float) -> NDArray[np.float32]:
    """The model's fields of each candidate of a staff, float32 [candidates, CONTEXT_FIELDS]."""
    rows = np.zeros((len(line), contract.CONTEXT_FIELDS), np.float32)
    space = contract.STAFF_SPACE_PX
    before = left
    for row, placed in zip(rows, line, strict=True):
        symbol = placed.symbol
        row[contract.SCORE] = symbol.confidence
        row[contract.CLASS] = CLASS_INDEX[symbol.kind]
        row[contract.X] = (symbol.x - left) / space
        row[contract.Y] = placed.height
        row[contract.WIDTH] = symbol.width / space
        row[contract.HEIGHT] = symbol.height / space
        row[contract.POSITION] = symbol.position
        row[contract.POSITION_SCORE] = symbol.position_confidence
        row[contract.DURATION] = symbol.durations
        row[contract.DOTS] = symbol.dots
        row[contract.STEM] = symbol.stem
        row[contract.TUPLET] = symbol.tuplet
        row[contract.GRACE] = symbol.grace
        row[contract.TIED_BACK] = symbol.tied_back
        row[contract.TIED_ON] = symbol.tied_on
        row[contract.STEP_FROM_PREVIOUS] = (symbol.x - before) / space
        row[contract.PRESENT] = 1
        before = symbol.x
    return rows


def _cuts(count: int) -> list[tuple[int, int, int]]:
    """Windows over a staff of `count` candidates: start, and which part of each is taken."""
    cuts: list[tuple[int, int, int]] = []
    start, taken = 0, 0
    while taken < count:
        end = start + contract.SEQUENCE
        last = count if end >= count else end - contract.SEQUENCE_OVERLAP // 2
        cuts.append((start, taken - start, last - start))
        taken, start = last, last - contract.SEQUENCE_OVERLAP // 2
    return cuts
