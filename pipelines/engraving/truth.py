"""What the music says: for every note and rest of an MEI document its time, pitch, voice, ties and tuplet.

Verovio draws each element under its MEI id, so this is the other half of what `boxes` takes from the drawing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

from lxml import etree

from services.omr.vocabulary import TUPLET_NONE, TUPLET_OTHER, TUPLET_TRIPLET

_MEI: Final = "{http://www.music-encoding.org/ns/mei}"
_ID: Final = "{http://www.w3.org/XML/1998/namespace}id"
_STEPS: Final = "cdefgab"
_ALTERS: Final = {
    "s": 1, "f": -1, "n": 0, "ss": 2, "x": 2, "ff": -2, "xs": 3, "tf": -3, "sx": 3, "ns": 1, "nf": -1,
}  # fmt: skip
_VALUES: Final = {
    "breve": Fraction(8), "1": Fraction(4), "2": Fraction(2), "4": Fraction(1), "8": Fraction(1, 2),
    "16": Fraction(1, 4), "32": Fraction(1, 8), "64": Fraction(1, 16), "128": Fraction(1, 32),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class EventTruth:
    """What is known of a note or a rest.

    Attributes:
        value: index in VALUES_QUARTERS (a breve counts as a whole, a 128th as a 64th); -1 if not written.
        dots, grace, tuplet: as in `pages.SYMBOL_FIELDS`.
        onset, length: in quarter notes; length 0 for a grace note.
        staff: number (`n`) of the staff that it is printed on.
        voice: number of its layer on its home staff, from 1.
        diatonic, alter: pitch of a note; -1 and 0 for a rest.
        tied_back, tied_on: whether a tie ends or begins here.
    """

    value: int
    dots: int
    grace: bool
    tuplet: int
    onset: Fraction
    length: Fraction
    staff: str
    voice: int
    diatonic: int = -1
    alter: int = 0
    tied_back: bool = False
    tied_on: bool = False


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the tree a layer's walk stands: what is inherited from the elements above."""

    staff: str
    voice: int
    ratio: Fraction = Fraction(1)
    tuplet: int = TUPLET_NONE
    grace: bool = False


@dataclass(frozen=True, slots=True)
class MeiTruth:
    """Everything by MEI id.

    Attributes:
        events: notes and rests; chord members each under their own id.
        staff_numbers: number (`n`) of each staff element.
        measure_quarters: length of each measure, in quarter notes: that of its fullest layer.
    """

    events: Mapping[str, EventTruth]
    staff_numbers: Mapping[str, str]
    measure_quarters: Mapping[str, Fraction]


def read_mei(text: str) -> MeiTruth:
    """Read an MEI document."""
    events: dict[str, EventTruth] = {}
    staff_numbers: dict[str, str] = {}
    measures: dict[str, Fraction] = {}
    root = etree.fromstring(text.encode())
    for measure in root.iter(_MEI + "measure"):
        longest = Fraction(0)
        whole_rests: list[str] = []
        for staff in measure.findall(_MEI + "staff"):
            number = staff.get("n", "1")
            staff_numbers[staff.get(_ID, "")] = number
            for voice, layer in enumerate(staff.findall(_MEI + "layer"), start=1):
                walk = _LayerWalk(events, whole_rests)
                longest = max(longest, walk.walk(layer, Fraction(0), _Place(number, voice)))
        measures[measure.get(_ID, "")] = longest
        for rest in whole_rests:
            events[rest] = replace(events[rest], length=longest)
    _tie(root, events)
    return MeiTruth(events, staff_numbers, measures)


class _LayerWalk:
    """Walks one layer in time order, writing down its events."""

    def __init__(self, events: dict[str, EventTruth], whole_rests: list[str]) -> None:
        self._events = events
        self._whole_rests = whole_rests

    def walk(self, element: etree._Element, onset: Fraction, place: _Place) -> Fraction:
        """Write down what is inside of an element; gives the time at which it ends."""
        for child in element:
            tag = child.tag.removeprefix(_MEI) if isinstance(child.tag, str) else ""
            if tag in ("note", "chord", "rest", "space"):
                onset += self._event(child, tag, onset, place)
            elif tag == "mRest":
                rest = EventTruth(
                    0, 0, False, TUPLET_NONE, Fraction(0), Fraction(0), place.staff, place.voice
                )
                self._events[child.get(_ID, "")] = rest
                self._whole_rests.append(child.get(_ID, ""))
            elif tag == "tuplet":
                actual, normal = int(child.get("num", "3")), int(child.get("numbase", "2"))
                kind = TUPLET_TRIPLET if Fraction(actual, normal) == Fraction(3, 2) else TUPLET_OTHER
                ratio = place.ratio * Fraction(normal, actual)
                onset = self.walk(child, onset, replace(place, ratio=ratio, tuplet=kind))
            elif tag == "graceGrp":
                self.walk(child, onset, replace(place, grace=True))
            elif tag == "fTrem":
                onset = self.walk(child, onset, replace(place, ratio=place.ratio / 2))
            elif tag in ("beam", "bTrem", "app", "rdg", "lem", "choice", "corr", "supplied"):
                onset = self.walk(child, onset, place)
        return onset

    def _event(self, element: etree._Element, tag: str, onset: Fraction, place: _Place) -> Fraction:
        written = element.get("dur", "")
        dots = int(element.get("dots", "0"))
        grace = place.grace or element.get("grace") is not None
        value = _VALUES.get(written, Fraction(0))
        length = Fraction(0) if grace else value * (2 - Fraction(1, 2**dots)) * place.ratio
        truth = EventTruth(
            value=_value_index(value),
            dots=dots,
            grace=grace,
            tuplet=place.tuplet,
            onset=onset,
            length=length,
            staff=element.get("staff", place.staff),
            voice=place.voice,
        )
        members = element.findall(_MEI + "note") if tag == "chord" else [element]
        for member in members:
            pitched = _pitched(truth, member) if member.tag == _MEI + "note" else truth
            self._events[member.get(_ID, "")] = pitched
        return length


def _value_index(value: Fraction) -> int:
    if not value:
        return -1
    return min(6, max(0, 3 - (value.numerator.bit_length() - value.denominator.bit_length() + 1)))


def _pitched(truth: EventTruth, note: etree._Element) -> EventTruth:
    sign = note.get("accid") or note.get("accid.ges")
    if sign is None:
        for accidental in note.findall(_MEI + "accid"):
            sign = accidental.get("accid") or accidental.get("accid.ges") or sign
    tie = note.get("tie", "")
    return replace(
        truth,
        staff=note.get("staff", truth.staff),
        diatonic=7 * int(note.get("oct", "4")) + _STEPS.index(note.get("pname", "c")),
        alter=_ALTERS.get(sign or "n", 0),
        tied_back=tie in ("t", "m"),
        tied_on=tie in ("i", "m"),
    )


def _tie(root: etree._Element, events: dict[str, EventTruth]) -> None:
    for tie in root.iter(_MEI + "tie"):
        start, end = (tie.get(name, "").removeprefix("#") for name in ("startid", "endid"))
        if start in events:
            events[start] = replace(events[start], tied_on=True)
        if end in events:
            events[end] = replace(events[end], tied_back=True)
