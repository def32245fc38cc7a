"""What the page service answers, as typed frozen values.

Boxes are in px of the uploaded picture (of a PDF's page: of its drawing); onsets and durations are in
quarter notes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.client.errors import BadAnswerError
from services.client.results import Answer, Key, Metre, common, parse_key, parse_metre


@dataclass(frozen=True, slots=True)
class Box:
    """An upright rectangle: its left upper corner, width and height."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class PageNote:
    """A notehead and its place in the music.

    Attributes:
        page: index of its page in the answer.
        box: of the head.
        part: index of its part.
        staff: number of its staff in the part, 1 for the uppermost.
        voice: 1 for the upper voice of its staff, 2 for the lower.
        measure: index of its measure in the piece.
        onset: from the measure's start.
        duration: 0 for a grace note.
        pitch: MIDI number; 60 is middle C.
        step, alter, octave: the same as it is spelled.
        tied_back, tied_on: whether a tie joins it to the note before, to the next.
        grace: whether it is a grace note.
        confidence: 0 to 1.
    """

    page: int
    box: Box
    part: int
    staff: int
    voice: int
    measure: int
    onset: float
    duration: float
    pitch: int
    step: str
    alter: int
    octave: int
    tied_back: bool
    tied_on: bool
    grace: bool
    confidence: float


@dataclass(frozen=True, slots=True)
class PageSymbol:
    """A symbol: its class by its SMuFL name, its box, 0 to 1 how sure it is, and what it was taken for."""

    kind: str
    box: Box
    confidence: float
    role: str


@dataclass(frozen=True, slots=True)
class PageMeasure:
    """A measure: its number, its box over all staves, and whether its voices add up to the metre."""

    number: int
    box: Box
    adds_up: bool


@dataclass(frozen=True, slots=True)
class PageSystem:
    """A system: its box, those of its staves top down, and its measures from left to right."""

    box: Box
    staves: tuple[Box, ...]
    measures: tuple[PageMeasure, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """A page: its size in px, the index of its file and its number there, and what stands on it."""

    file: int
    number: int
    width: int
    height: int
    systems: tuple[PageSystem, ...]
    symbols: tuple[PageSymbol, ...]


@dataclass(frozen=True, slots=True)
class Recognition(Answer):
    """What was read on pages.

    Attributes:
        message: what to know of pages that hold nothing; empty where all is well.
        key, metre: those of the piece; None where no staves were found.
        notes: every notehead, in the order of the music.
        pages: as many as were sent.
        decisions: what each step decided, on what evidence, as the service tells it; where asked for.
    """

    message: str
    key: Key | None
    metre: Metre | None
    notes: tuple[PageNote, ...]
    pages: tuple[Page, ...]
    decisions: tuple[Mapping[str, Any], ...]

    def __str__(self) -> str:
        measures = sum(len(system.measures) for page in self.pages for system in page.systems)
        facts = [_counted(len(self.pages), "page")]
        if measures:
            facts += [_counted(measures, "measure"), _counted(len(self.notes), "note")]
        if self.key:
            facts.append(self.key.name)
        if self.metre:
            facts.append(str(self.metre))
        if self.message:
            facts.append(self.message[0].lower() + self.message[1:].rstrip("."))
        return ", ".join(facts)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def parse_recognition(answer: Mapping[str, Any]) -> Recognition:
    """Make the typed value of the JSON answer of `POST /v1/recognize`.

    Raises:
        BadAnswerError: when the answer is not of the documented form.
    """
    try:
        return Recognition(
            **common(answer),
            message=str(answer["message"]),
            key=parse_key(answer.get("key")),
            metre=parse_metre(answer.get("metre")),
            notes=tuple(_note(note) for note in answer["notes"]),
            pages=tuple(_page(page) for page in answer["pages"]),
            decisions=tuple(answer.get("decisions", ())),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadAnswerError(
            f"The service's answer is not a recognition ({type(error).__name__}: {error}).",
            remedy="Check that the address is Copyist's and that client and service are of one version.",
        ) from error


def _note(value: Mapping[str, Any]) -> PageNote:
    return PageNote(
        page=int(value["page"]),
        box=Box(*map(float, value["box"])),
        part=int(value["part"]),
        staff=int(value["staff"]),
        voice=int(value["voice"]),
        measure=int(value["measure"]),
        onset=float(value["onset"]),
        duration=float(value["duration"]),
        pitch=int(value["pitch"]),
        step=str(value["step"]),
        alter=int(value["alter"]),
        octave=int(value["octave"]),
        tied_back=bool(value["tied_back"]),
        tied_on=bool(value["tied_on"]),
        grace=bool(value["grace"]),
        confidence=float(value["confidence"]),
    )


def _page(value: Mapping[str, Any]) -> Page:
    return Page(
        file=int(value["file"]),
        number=int(value["number"]),
        width=int(value["width"]),
        height=int(value["height"]),
        systems=tuple(_system(system) for system in value["systems"]),
        symbols=tuple(_symbol(symbol) for symbol in value["symbols"]),
    )


def _system(value: Mapping[str, Any]) -> PageSystem:
    return PageSystem(
        box=Box(*map(float, value["box"])),
        staves=tuple(Box(*map(float, staff["box"])) for staff in value["staves"]),
        measures=tuple(
            PageMeasure(int(measure["number"]), Box(*map(float, measure["box"])), bool(measure["adds_up"]))
            for measure in value["measures"]
        ),
    )


def _symbol(value: Mapping[str, Any]) -> PageSymbol:
    return PageSymbol(
        kind=str(value["class"]),
        box=Box(*map(float, value["box"])),
        confidence=float(value["confidence"]),
        role=str(value["role"]),
    )
