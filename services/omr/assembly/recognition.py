"""What assembly is given and what it answers: the pages as recognised, and the music on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from services.music.score import NoteType, Score, SpelledPitch
from services.omr.page import PreparedPage, Symbol, System
from services.omr.vocabulary import SymbolClass


@dataclass(frozen=True, slots=True)
class RecognisedPage:
    """A page with all that was seen on it.

    Attributes:
        page: the prepared page.
        systems: top down; empty where no staves were found.
        symbols: in any order, px of the prepared page.
    """

    page: PreparedPage
    systems: tuple[System, ...]
    symbols: tuple[Symbol, ...]


@dataclass(frozen=True, slots=True)
class Box:
    """An upright rectangle, in px of the upload."""

    x: float
    y: float
    width: float
    height: float


class Role(StrEnum):
    """What a symbol was taken for."""

    NOTE = "note"
    GRACE_NOTE = "grace note"
    REST = "rest"
    ACCIDENTAL = "accidental"
    KEY = "key signature"
    CLEF = "clef"
    METRE = "time signature"
    BARLINE = "barline"
    DOT = "augmentation dot"
    TIE = "tie"
    TUPLET = "tuplet figure"
    STEM = "stem"
    BEAM = "beam"
    OCTAVE_LINE = "octave line"
    ARTICULATION = "articulation"
    OTHER = "other"
    UNUSED = "unused"


@dataclass(frozen=True, slots=True)
class FoundSymbol:
    """A symbol of a page.

    Attributes:
        kind: its class.
        box: in px of the upload.
        confidence: 0 to 1.
        role: what it was taken for.
        system: index on the page, None where it belongs to no staff.
        staff: index in the system, 0 for the uppermost, None likewise.
        note: index in `Recognition.notes` of the note that it is, or belongs to, else None.
    """

    kind: SymbolClass
    box: Box
    confidence: float
    role: Role
    system: int | None = None
    staff: int | None = None
    note: int | None = None


@dataclass(frozen=True, slots=True)
class FoundStaff:
    """A staff of a system.

    Attributes:
        box: of its five lines, in px of the upload.
        part: index of its part in the score.
        part_staff: its number in the part, 1 for the uppermost.
    """

    box: Box
    part: int
    part_staff: int


@dataclass(frozen=True, slots=True)
class FoundMeasure:
    """A measure of a system, over all of its staves.

    Attributes:
        number: as in the score.
        index: of the measure in every part of the score.
        box: from the uppermost staff's top line to the lowest one's bottom line, in px of the upload.
        duration: in quarter notes.
        adds_up: whether its voices fill it and it lasts as its metre says.
    """

    number: int
    index: int
    box: Box
    duration: Fraction
    adds_up: bool


@dataclass(frozen=True, slots=True)
class FoundSystem:
    """A system: its staves top down, its measures from left to right."""

    box: Box
    staves: tuple[FoundStaff, ...]
    measures: tuple[FoundMeasure, ...]


@dataclass(frozen=True, slots=True)
class FoundPage:
    """All that was found on a page; `size` is the upload's width and height in px."""

    size: tuple[int, int]
    systems: tuple[FoundSystem, ...]
    symbols: tuple[FoundSymbol, ...]


@dataclass(frozen=True, slots=True)
class FoundNote:
    """A notehead with its place in the music.

    Attributes:
        page: index of its page.
        system: index of its system on the page.
        symbol: index of its head in the page's symbols.
        box: of the head, in px of the upload.
        part: index of its part in the score.
        staff: number of its staff in the part, 1 for the uppermost.
        voice: 1 for the upper voice of its staff, 2 for the lower, further ones above.
        measure: index of its measure in every part of the score.
        measure_number: number of that measure.
        onset: from the measure's start, in quarter notes.
        duration: in quarter notes; 0 for a grace note.
        kind, dots: its written value.
        pitch: as it sounds, spelled as written.
        tied_back, tied_on: whether it is tied to the one before, to the next of its pitch.
        grace: whether it is a grace note.
        confidence: 0 to 1.
    """

    page: int
    system: int
    symbol: int
    box: Box
    part: int
    staff: int
    voice: int
    measure: int
    measure_number: int
    onset: Fraction
    duration: Fraction
    kind: NoteType
    dots: int
    pitch: SpelledPitch
    tied_back: bool
    tied_on: bool
    grace: bool
    confidence: float


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision of assembly and what it rests on.

    Attributes:
        step: what was decided, such as `key`.
        page, system: where.
        value: what was taken, such as `-3`.
        evidence: named figures or words that spoke for it.
        staff: index in the system where it holds for one staff alone.
        measure: index in the score where it holds for one measure alone.
    """

    step: str
    page: int
    system: int
    value: str
    evidence: Mapping[str, float | int | str]
    staff: int | None = None
    measure: int | None = None


@dataclass(frozen=True, slots=True)
class Recognition:
    """The music on pages that were read together.

    Attributes:
        pages: as many as were given.
        notes: every notehead, in the order of the music; `Head.source` in the score indexes them.
        score: the notation, or None where no page has a staff.
        decisions: in the order in which they were made.
    """

    pages: tuple[FoundPage, ...]
    notes: tuple[FoundNote, ...]
    score: Score | None
    decisions: tuple[Decision, ...]
