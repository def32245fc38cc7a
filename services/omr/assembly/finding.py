"""What was found, in px of the upload: pages, systems, staves, measures, symbols and notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.music.score import Score
from services.omr.assembly.boxes import lines_between, upload_boxes
from services.omr.assembly.parts import Parts
from services.omr.assembly.placing import StaffSymbol
from services.omr.assembly.reading import ReadSystem
from services.omr.assembly.recognition import (
    FoundMeasure,
    FoundNote,
    FoundPage,
    FoundStaff,
    FoundSymbol,
    FoundSystem,
    RecognisedPage,
    Role,
)
from services.omr.assembly.scoring import WrittenHead
from services.omr.contract import STAFF_SPACE_PX
from services.omr.events import MeasureReading
from services.omr.vocabulary import (
    ACCIDENTALS,
    BARLINES,
    CLEFS,
    FLAGS,
    HEADS,
    RESTS,
    TUPLET_FIGURES,
    SymbolClass,
)

_HALF_STAFF_PX = 2 * STAFF_SPACE_PX
_ROLES = {
    **dict.fromkeys(HEADS | RESTS | ACCIDENTALS, Role.UNUSED),
    **dict.fromkeys(CLEFS, Role.CLEF),
    **dict.fromkeys(BARLINES, Role.BARLINE),
    **dict.fromkeys(TUPLET_FIGURES, Role.TUPLET),
    **dict.fromkeys(FLAGS | {SymbolClass.STEM}, Role.STEM),
    SymbolClass.BEAM: Role.BEAM,
    SymbolClass.AUGMENTATION_DOT: Role.DOT,
    SymbolClass.TIE_START: Role.TIE,
    SymbolClass.TIE_END: Role.TIE,
    SymbolClass.OTTAVA: Role.OCTAVE_LINE,
    SymbolClass.STACCATO: Role.ARTICULATION,
    SymbolClass.ACCENT: Role.ARTICULATION,
    SymbolClass.TENUTO: Role.ARTICULATION,
    SymbolClass.MARCATO: Role.ARTICULATION,
    SymbolClass.FERMATA: Role.ARTICULATION,
}


@dataclass(slots=True)
class _Use:
    """What a symbol was taken for."""

    role: Role
    note: int | None = None


def found_notes(
    pages: Sequence[RecognisedPage], score: Score, heads: Sequence[WrittenHead]
) -> tuple[FoundNote, ...]:
    """Every head of the score, in its order."""
    boxes = {}
    for index, page in enumerate(pages):
        mine = [each.head for each in heads if each.system.page == index]
        for head, box in zip(mine, upload_boxes(page.page, [_edges(head) for head in mine]), strict=True):
            boxes[index, head.index] = box
    numbers = [measure.number for measure in score.parts[0].measures]
    return tuple(
        FoundNote(
            page=each.system.page,
            system=each.system.placed.number,
            symbol=each.head.index,
            box=boxes[each.system.page, each.head.index],
            part=each.part,
            staff=each.staff,
            voice=each.voice,
            measure=each.measure,
            measure_number=numbers[each.measure],
            onset=each.event.onset,
            duration=each.event.duration,
            kind=each.event.kind,
            dots=each.event.dots,
            pitch=each.pitched.pitch,
            tied_back=each.pitched.tied_from is not None,
            tied_on=each.pitched.tied_to is not None,
            grace=each.event.grace,
            confidence=each.head.symbol.confidence,
        )
        for each in heads
    )


def _edges(symbol: StaffSymbol) -> tuple[float, float, float, float]:
    x, y, width, height = symbol.symbol.x, symbol.symbol.y, symbol.symbol.width, symbol.symbol.height
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def found_pages(
    pages: Sequence[RecognisedPage],
    placed: Sequence[Sequence[Sequence[StaffSymbol]]],
    systems: Sequence[ReadSystem],
    readings: Sequence[MeasureReading],
    parts: Parts | None,
    notes: Sequence[FoundNote],
    score: Score | None = None,
) -> tuple[FoundPage, ...]:
    """The pages with their systems and symbols.

    Args:
        pages: as recognised.
        placed: for each system of each page its symbols on their staves.
        systems: those read, in order; all pages' or none.
        readings: of all measures of these systems in order, or none.
        parts: which staff of the score each staff is; None where there are no systems.
        notes: of the score.
        score: where there is one.
    """
    found: list[list[FoundSystem]] = [[] for _ in pages]
    index = 0
    for system in systems:
        count = len(system.measures) if score is not None else 0
        measures = _measures(pages[system.page], system, readings[index : index + count], score, index)
        found[system.page].append(_system(pages[system.page], system, parts, measures))
        index += count
    return tuple(
        FoundPage(
            size=page.page.upload_size,
            systems=tuple(found[number]),
            symbols=_symbols(
                page,
                placed[number],
                [system for system in systems if system.page == number],
                [(i, note) for i, note in enumerate(notes) if note.page == number],
            ),
        )
        for number, page in enumerate(pages)
    )


def _measures(
    page: RecognisedPage,
    system: ReadSystem,
    readings: Sequence[MeasureReading],
    score: Score | None,
    first: int,
) -> tuple[FoundMeasure, ...]:
    if score is None:
        return ()
    upper, lower = system.placed.system.staves[0], system.placed.system.staves[-1]
    edges = [
        lines_between(upper, lower, measure.span.left, min(measure.span.right, upper.x[-1]), _HALF_STAFF_PX)
        for measure in system.measures
    ]
    boxes = upload_boxes(page.page, edges)
    return tuple(
        FoundMeasure(written.number, first + i, box, written.duration, reading.adds_up)
        for i, (box, reading) in enumerate(zip(boxes, readings, strict=True))
        for written in (score.parts[0].measures[first + i],)
    )


def _system(
    page: RecognisedPage, system: ReadSystem, parts: Parts | None, measures: tuple[FoundMeasure, ...]
) -> FoundSystem:
    staves = system.placed.system.staves
    left = min(float(staff.x[0]) for staff in staves)
    right = max(float(staff.x[-1]) for staff in staves)
    edges = [lines_between(staves[0], staves[-1], left, right, _HALF_STAFF_PX)]
    for staff in staves:
        edges.append(lines_between(staff, staff, float(staff.x[0]), float(staff.x[-1]), _HALF_STAFF_PX))
    whole, *boxes = upload_boxes(page.page, edges)
    places = [parts.part_of(staff) if parts else (0, 1) for staff in system.staves]
    found = tuple(FoundStaff(box, *place) for box, place in zip(boxes, places, strict=True))
    return FoundSystem(whole, found, measures)


def _symbols(
    page: RecognisedPage,
    placed: Sequence[Sequence[StaffSymbol]],
    systems: Sequence[ReadSystem],
    notes: Sequence[tuple[int, FoundNote]],
) -> tuple[FoundSymbol, ...]:
    uses = [_Use(_ROLES.get(symbol.kind, Role.OTHER)) for symbol in page.symbols]
    note_of = {note.symbol: i for i, note in notes}
    for system in systems:
        _use_in_system(uses, system, note_of)
    for i, note in notes:
        uses[note.symbol] = _Use(Role.GRACE_NOTE if note.grace else Role.NOTE, i)
    homes = {each.index: (s, each.staff) for s, symbols in enumerate(placed) for each in symbols}
    boxes = upload_boxes(
        page.page,
        [
            (
                each.x - each.width / 2,
                each.y - each.height / 2,
                each.x + each.width / 2,
                each.y + each.height / 2,
            )
            for each in page.symbols
        ],
    )
    found = []
    for index, (symbol, box, use) in enumerate(zip(page.symbols, boxes, uses, strict=True)):
        system_number, staff = homes.get(index, (None, None))
        found.append(
            FoundSymbol(symbol.kind, box, symbol.confidence, use.role, system_number, staff, use.note)
        )
    return tuple(found)


def _use_in_system(uses: list[_Use], system: ReadSystem, note_of: dict[int, int]) -> None:
    """Write down what the symbols of a system were taken for, notes apart."""
    for sign in system.key_signs:
        uses[sign.index] = _Use(Role.KEY)
    for sign in system.metre_signs:
        uses[sign.index] = _Use(Role.METRE)
    for measure in system.measures:
        for rest in measure.rests:
            uses[rest.index] = _Use(Role.REST)
        for head, sign in measure.signs.items():
            uses[sign.index] = _Use(Role.ACCIDENTAL, note_of.get(head))
        for chord in measure.chords:
            note = next((note_of[head.index] for head in chord.heads if head.index in note_of), None)
            if chord.stem_symbol is not None and note is not None:
                uses[chord.stem_symbol.index] = _Use(Role.STEM, note)
