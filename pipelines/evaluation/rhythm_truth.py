"""Measures whose rhythm is known, as printed events: from engraved pages and from typed notation.

A true event carries the printed event as a perfect reader would see it, with certain values, and its onset
and duration. Nothing of the truth but what is printed goes into the printed event.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.engraving.pages import ENGRAVED_SPACE_PX, EngravedPage
from services.omr.contract import STAFF_SPACE_PX
from services.omr.events import PrintedEvent
from services.omr.vocabulary import (
    CLASS_INDEX,
    CLASSES,
    HEADS,
    RESTS,
    STEM_DOWN,
    STEM_NONE,
    STEM_UP,
    TUPLET_NONE,
    TUPLET_OTHER,
    TUPLET_TRIPLET,
    VALUES_QUARTERS,
    SymbolClass,
)

_HEADS = [CLASS_INDEX[each] for each in HEADS]
_RESTS = [CLASS_INDEX[each] for each in RESTS]
_DOTTED = (Fraction(1), Fraction(3, 2), Fraction(7, 4))
_FIGURES = {Fraction(2, 3): 3, Fraction(4, 5): 5, Fraction(4, 7): 7, Fraction(3, 2): 2, Fraction(3, 4): 4}
_IMPOSSIBLE = -12.0


@dataclass(frozen=True, slots=True)
class TrueEvent:
    """A printed event with its place in time, in quarter notes from the measure's start.

    Attributes:
        printed: as a perfect reader sees it.
        onset, duration: the truth.
        heads: how many notes it has, 0 for a rest.
        whole_measure: whether it is a rest that stands for the whole measure.
    """

    printed: PrintedEvent
    onset: Fraction
    duration: Fraction
    heads: int
    whole_measure: bool = False


@dataclass(frozen=True, slots=True)
class TrueMeasure:
    """The events of one measure, and what its time signature asks for (None if nobody knows)."""

    events: tuple[TrueEvent, ...]
    metre: Fraction | None


def certain(index: int, count: int) -> tuple[float, ...]:
    """Log-probabilities of a reader who has no doubt."""
    rest = (count - 1) * math.exp(_IMPOSSIBLE)
    return tuple(math.log1p(-rest) if i == index else _IMPOSSIBLE for i in range(count))


def of_page(page: EngravedPage) -> list[TrueMeasure]:
    """The measures of an engraved page that have any event."""
    scale = STAFF_SPACE_PX / ENGRAVED_SPACE_PX
    symbols = page.symbols
    timed = symbols[
        np.isin(symbols["kind"], _HEADS + _RESTS) & (symbols["grace"] != 1) & (symbols["length"] > 0)
    ]
    lengths = [Fraction(float(each)).limit_denominator(96) for each in page.measures["duration"]]
    first_staff = {
        system: int(np.flatnonzero(page.staves["system"] == system)[0])
        for system in set(page.staves["system"])
    }
    measures = []
    for index, measure in enumerate(page.measures):
        here = timed[timed["measure"] == index]
        events = [
            _event(
                here[here["chord"] == chord],
                first_staff[measure["system"]],
                scale,
                float(measure["duration"]),
            )
            for chord in np.unique(here["chord"])
        ]
        if events:
            measures.append(TrueMeasure(tuple(events), _metre(lengths, index)))
    return measures


def _metre(lengths: Sequence[Fraction], index: int) -> Fraction:
    """What the time signature says: a measure that lasts unlike both neighbours is an exception."""
    if lengths[index] in lengths[max(0, index - 1) : index] + lengths[index + 1 : index + 2]:
        return lengths[index]
    return lengths[index - 1] if index else lengths[min(1, len(lengths) - 1)]


def _event(heads: NDArray[np.void], first_staff: int, scale: float, measure_quarters: float) -> TrueEvent:
    """One chord or rest of an engraved page."""
    head = heads[0]
    is_rest = CLASSES[head["kind"]] in RESTS
    stem = max(int(head["stem"]), STEM_NONE)
    onset = Fraction(float(head["onset"])).limit_denominator(96)
    duration = Fraction(float(head["length"])).limit_denominator(96)
    values, counts = np.unique(heads["staff"], return_counts=True)
    value, dots = int(head["duration"]), max(int(head["dots"]), 0)
    whole = is_rest and CLASSES[head["kind"]] is SymbolClass.REST_WHOLE and duration != 4
    whole = whole or (is_rest and value == 0 and float(head["length"]) == measure_quarters)
    printed = _printed(
        x=float(heads["x"].max() if stem == STEM_DOWN else heads["x"].min()) * scale,
        staff=int(values[counts.argmax()]) - first_staff,
        is_rest=is_rest,
        position=float(heads["position"].mean()),
        stem=stem,
        value=value,
        dots=dots,
        ratio=Fraction(1) if whole else duration / (Fraction(VALUES_QUARTERS[value]) * _DOTTED[dots]),
        beam=int(head["beam"]) if head["beam"] >= 0 else None,
    )
    return TrueEvent(printed, onset, duration, 0 if is_rest else len(heads), whole)


def _printed(
    *,
    x: float,
    staff: int,
    is_rest: bool,
    position: float,
    stem: int,
    value: int,
    dots: int,
    ratio: Fraction,
    beam: int | None,
) -> PrintedEvent:
    """A printed event as a perfect reader sees it."""
    tuplet = TUPLET_NONE if ratio == 1 else TUPLET_TRIPLET if ratio == Fraction(2, 3) else TUPLET_OTHER
    directions = certain(stem, 3)
    third = math.log(1 / 3)
    return PrintedEvent(
        x=x,
        staff=staff,
        is_rest=is_rest,
        position=position,
        stem=(third, third, third) if is_rest else (directions[0], directions[1], directions[2]),
        durations=certain(value, len(VALUES_QUARTERS)),
        dots=certain(dots, 3),
        tuplet=certain(tuplet, 3),
        figure=_FIGURES.get(ratio),
        beam=beam,
    )


def of_typed(path: Path) -> list[TrueMeasure]:
    """The measures of a `truth.json`: notes typed from an old edition, laid out as engravers space them."""
    measures = []
    metre = None
    for number, measure in enumerate(json.loads(path.read_text())["measures"]):
        for each in measure["attrs"]:
            if each["type"] == "time":
                beats, beat_type = map(int, each["value"].split("/"))
                metre = Fraction(4 * beats, beat_type)
        events = _typed_events(measure, metre, np.random.default_rng(number))
        if events:
            measures.append(TrueMeasure(tuple(events), metre))
    return measures


def _typed_events(
    measure: dict[str, Any], metre: Fraction | None, rng: np.random.Generator
) -> list[TrueEvent]:
    """The events of one typed measure; what the file does not tell (stems, x) is made up."""
    chords: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for note in measure["notes"]:
        if not note["grace"] and not note.get("inv"):
            chords[(note["staff"], note["on"], note["dur"], note["v"], False)].append(note)
    for rest in measure.get("rests", []):
        if not rest.get("inv"):
            chords[(rest["staff"], rest["on"], rest["dur"], rest["v"], True)].append(rest)
    columns = _columns(sorted({key[1] for key in chords}), measure, rng)
    many = {staff: len({key[3] for key in chords if key[0] == staff}) > 1 for staff in (1, 2, 3)}
    top = {staff: max((key[3] for key in chords if key[0] == staff), default=0) for staff in (1, 2, 3)}
    events = []
    for (staff, on, dur, voice, is_rest), notes in chords.items():
        onset, duration = (Fraction(each).limit_denominator(96) for each in (on, dur))
        whole = is_rest and duration == metre and all(k[0] != staff or k[4] for k in chords)
        value, dots, ratio = (0, 0, Fraction(1)) if whole else _written(duration)
        stem = STEM_NONE
        if not is_rest and value > 0:
            upper = voice == top[staff] if many[staff] else bool(rng.integers(2))
            stem = STEM_UP if upper else STEM_DOWN
        position = 0.0 if is_rest else float(np.mean([_height(note["p"]) for note in notes]))
        printed = _printed(
            x=columns[on] + rng.normal(0, 0.7),
            staff=staff - 1,
            is_rest=is_rest,
            position=position,
            stem=stem,
            value=value,
            dots=dots,
            ratio=ratio,
            beam=None,
        )
        events.append(TrueEvent(printed, onset, duration, 0 if is_rest else len(notes), whole))
    return events


def _columns(
    onsets: Sequence[float], measure: dict[str, Any], rng: np.random.Generator
) -> dict[float, float]:
    """An x for each onset: distances grow with the square root of time, and are uneven."""
    columns, x = {}, 0.0
    for onset, following in zip(onsets, [*onsets[1:], onsets[-1] + 1 if onsets else 1], strict=True):
        columns[onset] = x
        x += max(13.0, 45 * (following - onset) ** 0.5) * float(rng.uniform(0.8, 1.3))
    return columns


def _written(duration: Fraction) -> tuple[int, int, Fraction]:
    """Value, dots and tuplet ratio that a duration is written with."""
    for ratio in (Fraction(1), Fraction(2, 3), Fraction(4, 5), Fraction(4, 7), Fraction(8, 9)):
        for dots, dotted in enumerate(_DOTTED):
            for value, quarters in enumerate(VALUES_QUARTERS):
                if Fraction(quarters) * dotted * ratio == duration:
                    return value, dots, ratio
    raise ValueError(f"no note value lasts {duration} quarter notes")


def _height(pitch: str) -> int:
    """Diatonic height of a pitch such as `Bb4`."""
    letters = pitch.rstrip("-0123456789")
    return "CDEFGAB".index(pitch[0]) + 7 * int(pitch[len(letters) :])


def pages_in(folder: Path) -> Iterable[EngravedPage]:
    """The engraved pages of a folder."""
    for path in sorted(folder.glob("*.npz")):
        yield EngravedPage.load(path.with_suffix(""))
