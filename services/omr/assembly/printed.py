"""Printed events: chords and rests of a measure as the search over rhythm takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from services.omr.assembly.chords import PrintedChord
from services.omr.assembly.dots import dot_evidence
from services.omr.assembly.placing import StaffSymbol
from services.omr.events import PrintedEvent
from services.omr.page import FloatArray
from services.omr.vocabulary import (
    CLASSES,
    FLAGS,
    HEADS,
    RESTS,
    TUPLET_FIGURES,
    TUPLET_NONE,
    VALUES_QUARTERS,
    SymbolClass,
)

#: How much a class that contradicts a value speaks against it.
_AGAINST_CLASS: Final = np.log(0.02)
_FIRST_REST: Final = CLASSES.index(SymbolClass.REST_WHOLE)
_QUARTER: Final = VALUES_QUARTERS.index(1.0)
_MARKED: Final = 0.35
_FLAG_REACH_PX: Final = 5.0
_FIGURE_REACH_PX: Final = 8.0
_FIGURE_BELIEVED: Final = 1.0
_NO_STEM_READ: Final = (0.0, 0.0, 0.0)


def print_events(
    chords: Sequence[PrintedChord],
    beams: Sequence[int | None],
    rests: Sequence[StaffSymbol],
    symbols: Sequence[StaffSymbol],
) -> tuple[PrintedEvent, ...]:
    """The events of one measure of a system: first the chords, then the rests, each as given.

    Args:
        chords: without grace notes.
        beams: for each chord the id of its beam, or None.
        rests: of the measure.
        symbols: of the measure; dots and tuplet figures are used.
    """
    dots = dot_evidence([*chords, *rests], [s for s in symbols if s.kind is SymbolClass.AUGMENTATION_DOT])
    values = _values_of_stems(chords, beams, [each for each in symbols if each.kind in FLAGS])
    events = [
        _chord_event(chord, beam, fits, seen)
        for chord, beam, fits, seen in zip(chords, beams, values, dots[: len(chords)], strict=True)
    ]
    events += [_rest_event(rest, seen) for rest, seen in zip(rests, dots[len(chords) :], strict=True)]
    figures = _figures(events, [each for each in symbols if each.kind in TUPLET_FIGURES])
    return tuple(
        PrintedEvent(
            x=event.x,
            staff=event.staff,
            is_rest=event.is_rest,
            position=event.position,
            stem=event.stem,
            durations=event.durations,
            dots=event.dots,
            tuplet=event.tuplet,
            figure=figure,
            beam=event.beam,
            confidence=event.confidence,
        )
        for event, figure in zip(events, figures, strict=True)
    )


def _chord_event(
    chord: PrintedChord, beam: int | None, fits: Sequence[int], dots: FloatArray
) -> PrintedEvent:
    # A shared head tells of two chords at once: others on the same stem know better, if there are any.
    own = [head.symbol for head in chord.heads if head.index not in chord.shared]
    heads = own or [head.symbol for head in chord.heads]
    durations = [_with_class(np.array(head.durations), _values_of(head.kind)) for head in heads]
    stem = _mean([np.array(head.stem) for head in heads])
    confidence = max(head.confidence for head in heads)
    if not own:
        durations = [_with_class(each, fits) for each in durations]
        stem, confidence = _one_of_two_stems(chord, stem, confidence)
    return PrintedEvent(
        x=chord.x,
        staff=chord.staff,
        is_rest=False,
        position=float(np.mean([head.position for head in chord.heads])),
        stem=stem,  # type: ignore[arg-type]
        durations=_mean(durations),
        dots=_mean([np.array(head.dots) + dots for head in heads]),
        tuplet=_mean([np.array(head.tuplet) for head in heads]),
        beam=beam,
        confidence=confidence,
    )


def _values_of_stems(
    chords: Sequence[PrintedChord], beams: Sequence[int | None], flags: Sequence[StaffSymbol]
) -> list[Sequence[int]]:
    """For each chord the indices of the values that its stem allows.

    A stem with a beam or a flag is that of an eighth or less. Without one it is that of a longer note where
    the other stem of its heads has one; else a beam may not have been seen.
    """
    short = [beam is not None or _has_flag(chord, flags) for chord, beam in zip(chords, beams, strict=True)]
    in_short = {index for chord, each in zip(chords, short, strict=True) if each for index in chord.shared}
    every, eighth = range(len(VALUES_QUARTERS)), VALUES_QUARTERS.index(0.5)
    return [
        every[eighth:] if each else every[:eighth] if chord.shared & in_short else every
        for chord, each in zip(chords, short, strict=True)
    ]


def _has_flag(chord: PrintedChord, flags: Sequence[StaffSymbol]) -> bool:
    """Whether a flag hangs from the free end of a chord's stem."""
    stem, tip = chord.stem_symbol, chord.stem_tip
    if stem is None or tip is None:
        return False
    return any(
        abs(flag.left - stem.x) <= _FLAG_REACH_PX and abs(flag.symbol.y - tip) <= flag.symbol.height
        for flag in flags
    )


def _one_of_two_stems(
    chord: PrintedChord, read: Sequence[float], confidence: float
) -> tuple[tuple[float, ...], float]:
    """The stem of a chord whose heads all have another one as well, and how sure it is that it has this one.

    Heads of two stems read either direction about as likely; the surer they are of the other, the less this
    one is believed.
    """
    stem = [_AGAINST_CLASS] * len(read)
    stem[chord.stem] = 0.0
    seen = chord.stem_symbol.symbol.confidence if chord.stem_symbol is not None else 1.0
    return _mean([np.array(stem)]), min(confidence, seen, 2 * float(np.exp(read[chord.stem])))


def _rest_event(rest: StaffSymbol, dots: FloatArray) -> PrintedEvent:
    symbol = rest.symbol
    return PrintedEvent(
        x=rest.x,
        staff=rest.staff,
        is_rest=True,
        position=float(rest.position),
        stem=_NO_STEM_READ,
        durations=_mean([_with_class(np.array(symbol.durations), _values_of(symbol.kind))]),
        dots=_mean([np.array(symbol.dots) + dots]),
        tuplet=_mean([np.array(symbol.tuplet)]),
        confidence=symbol.confidence,
    )


def _values_of(kind: SymbolClass) -> list[int]:
    """Indices of the values that a class can have."""
    if kind in RESTS:
        return [CLASSES.index(kind) - _FIRST_REST]
    if kind is SymbolClass.NOTEHEAD_WHOLE:
        return [0]
    if kind is SymbolClass.NOTEHEAD_HALF:
        return [1]
    return list(range(_QUARTER, len(VALUES_QUARTERS))) if kind in HEADS else []


def _with_class(durations: FloatArray, fits: Sequence[int]) -> FloatArray:
    against = np.full(len(durations), _AGAINST_CLASS)
    against[list(fits)] = 0.0
    return np.asarray(durations + against)


def _mean(readings: Sequence[FloatArray]) -> tuple[float, ...]:
    """Log-probabilities of several readings of the same, averaged and made to add up to one."""
    mean = np.maximum(np.mean(readings, axis=0), -30.0)
    peak = mean.max()
    return tuple(float(each) for each in mean - peak - np.log(np.exp(mean - peak).sum()))


def _figures(events: Sequence[PrintedEvent], figures: Sequence[StaffSymbol]) -> list[int | None]:
    """The figure that is printed over or under each event's tuplet."""
    numbers: list[int | None] = [None] * len(events)
    for figure in figures:
        number = int(figure.kind.removeprefix("tuplet"))
        under = _under(events, figure)
        # A fingering looks like a tuplet's figure: the notes must read as a tuplet where it is unsure.
        read = float(np.mean([1 - np.exp(events[i].tuplet[TUPLET_NONE]) for i in under])) if under else 0.0
        if figure.symbol.confidence + read >= _FIGURE_BELIEVED:
            for i in under:
                numbers[i] = number
    return numbers


def _under(events: Sequence[PrintedEvent], figure: StaffSymbol) -> list[int]:
    """Indices of the events of the tuplet that a figure marks: a beam, or events that read as in a tuplet."""
    beams: dict[int, list[int]] = {}
    for i, event in enumerate(events):
        if event.beam is not None and event.staff == figure.staff:
            beams.setdefault(event.beam, []).append(i)
    covering = [
        members
        for members in beams.values()
        if min(events[i].x for i in members) - _FIGURE_REACH_PX
        <= figure.x
        <= max(events[i].x for i in members) + _FIGURE_REACH_PX
    ]
    if covering:
        return min(covering, key=lambda members: abs(_centre(events, members) - figure.x))
    inside = sorted(
        (i for i, event in enumerate(events) if event.staff == figure.staff), key=lambda i: events[i].x
    )
    marked = [1 - np.exp(events[i].tuplet[TUPLET_NONE]) >= _MARKED for i in inside]
    right = next((n for n, i in enumerate(inside) if events[i].x >= figure.x), len(inside))
    first = last = right
    while first > 0 and marked[first - 1]:
        first -= 1
    while last < len(inside) and marked[last]:
        last += 1
    return inside[first:last]


def _centre(events: Sequence[PrintedEvent], members: Sequence[int]) -> float:
    return (events[members[0]].x + events[members[-1]].x) / 2
