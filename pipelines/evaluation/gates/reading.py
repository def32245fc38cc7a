"""What of a line of music was read rightly: its symbols, their attributes, and in the end its notes."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from pipelines.engraving.pages import EngravedPage
from services.omr.assembly.recognition import FoundNote, Recognition
from services.omr.contract import HIGHEST_POSITION, STAFF_SPACE_PX
from services.omr.page import PreparedPage, Symbol
from services.omr.vocabulary import CLASS_INDEX, HEADS, RESTS

#: What is found must lie so near to what is printed.
_NEAR_PX: Final = STAFF_SPACE_PX / 2
_HEADS: Final = frozenset(CLASS_INDEX[kind] for kind in HEADS)
_TIMED: Final = frozenset(CLASS_INDEX[kind] for kind in (*HEADS, *RESTS))
_STEPS: Final = "CDEFGAB"
#: Quarter notes; the truth is kept as float32.
_SAME_TIME: Final = 0.02

Places = NDArray[np.float64]
Pairs = list[tuple[int, int]]


def as_read(page: EngravedPage) -> PreparedPage:
    """A line as if it had been uploaded and prepared: its px are those of the upload."""
    height, width = page.image.shape
    side = float(max(height, width))
    grid = np.array([[0.0, side], [0.0, side]])
    return PreparedPage(page.image, (width, height), side, grid, grid.T)


def symbol_measures(page: EngravedPage, symbols: Sequence[Symbol]) -> dict[str, float]:
    """Measures of what was found on a line.

    Returns:
        `symbols`: F1 of symbols by class and place; `positions`: share of the heads found whose staff
        position is right; `durations`: share of the heads and rests found whose value is.
    """
    truth = page.symbols
    kinds, places = _of(symbols)
    pairs = _matched(kinds, places, truth["kind"], _places(truth))
    measures = {"symbols": _f1(len(pairs), len(symbols), len(truth))}
    heads = [
        symbols[mine].position == truth["position"][theirs]
        for mine, theirs in pairs
        if int(kinds[mine]) in _HEADS and abs(int(truth["position"][theirs])) <= HIGHEST_POSITION
    ]
    timed = [
        int(np.argmax(symbols[mine].durations)) == truth["duration"][theirs]
        for mine, theirs in pairs
        if int(kinds[mine]) in _TIMED and truth["duration"][theirs] >= 0
    ]
    for name, right in (("positions", heads), ("durations", timed)):
        if right:
            measures[name] = float(np.mean(right))
    return measures


def voice_share(page: EngravedPage, symbols: Sequence[Symbol], voices: NDArray[np.int8]) -> float | None:
    """Share of the heads and rests found whose voice is right; None where there is nothing to tell.

    Args:
        page: the line.
        symbols: what was found.
        voices: of each printed symbol: 0 alone, 1 the upper of several, 2 a lower; -1 where it has none.
    """
    kinds, places = _of(symbols)
    right = [
        int(np.argmax(symbols[mine].voice)) == voices[theirs]
        for mine, theirs in _matched(kinds, places, page.symbols["kind"], _places(page.symbols))
        if voices[theirs] >= 0 and int(kinds[mine]) in _TIMED
    ]
    return float(np.mean(right)) if right else None


def note_f1(page: EngravedPage, recognition: Recognition) -> float | None:
    """F1 of notes by place, spelled pitch, onset in the measure and duration; None without any."""
    symbols = page.symbols
    printed = symbols[
        np.isin(symbols["kind"], list(_HEADS))
        & (symbols["grace"] != 1)
        & (symbols["diatonic"] >= 0)
        & (symbols["measure"] >= 0)
    ]
    if not len(printed):
        return None
    found = [note for note in recognition.notes if not note.grace]
    places = np.array([_centre(note) for note in found], float).reshape(-1, 2)
    right = sum(_is(found[mine], printed[theirs]) for mine, theirs in _nearest(places, _places(printed)))
    return _f1(right, len(found), len(printed))


def agreement(one: Sequence[Symbol], other: Sequence[Symbol]) -> tuple[float, float]:
    """How alike two readings of one page are.

    Returns:
        F1 of their symbols, by class and place; mean difference of the confidence in those that both have.
    """
    pairs = _matched(*_of(one), *_of(other))
    apart = [abs(one[mine].confidence - other[theirs].confidence) for mine, theirs in pairs]
    return _f1(len(pairs), len(one), len(other)), float(np.mean(apart)) if apart else 0.0


def _of(symbols: Sequence[Symbol]) -> tuple[NDArray[np.int64], Places]:
    """Classes [N] and centres [N, 2] of symbols."""
    kinds = np.array([CLASS_INDEX[symbol.kind] for symbol in symbols], np.int64)
    return kinds, np.array([(symbol.x, symbol.y) for symbol in symbols], float).reshape(-1, 2)


def _matched(
    kinds: NDArray[np.integer], places: Places, other_kinds: NDArray[np.integer], other_places: Places
) -> Pairs:
    """Which symbol of the one is which of the other: of the same class, near it, each once."""
    pairs: Pairs = []
    for kind in np.unique(kinds):
        mine, theirs = np.flatnonzero(kinds == kind), np.flatnonzero(other_kinds == kind)
        near = _nearest(places[mine], other_places[theirs])
        pairs += [(int(mine[one]), int(theirs[other])) for one, other in near]
    return pairs


def _nearest(found: Places, printed: Places) -> Pairs:
    """Pairs of what lies near together, each once, as many as there can be and as near as they can be."""
    if not len(found) or not len(printed):
        return []
    apart = cdist(found, printed)
    far = apart > _NEAR_PX
    one, other = linear_sum_assignment(np.where(far, 1e3, apart))
    near = ~far[one, other]
    return list(zip(one[near].tolist(), other[near].tolist(), strict=True))


def _places(symbols: NDArray[np.void]) -> Places:
    return np.stack([symbols["x"], symbols["y"]], 1).astype(float)


def _centre(note: FoundNote) -> tuple[float, float]:
    return note.box.x + note.box.width / 2, note.box.y + note.box.height / 2


def _is(note: FoundNote, printed: np.void) -> bool:
    step, octave = _STEPS[int(printed["diatonic"]) % 7], int(printed["diatonic"]) // 7
    pitch = note.pitch
    return (
        (pitch.step, pitch.alter, pitch.octave) == (step, int(printed["alter"]), octave)
        and _same_time(note.onset, float(printed["onset"]))
        and _same_time(note.duration, float(printed["length"]))
    )


def _same_time(one: Fraction, other: float) -> bool:
    return abs(float(one) - other) < _SAME_TIME


def _f1(right: int, found: int, printed: int) -> float:
    return 2 * right / (found + printed) if found + printed else 1.0
