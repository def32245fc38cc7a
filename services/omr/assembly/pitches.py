"""The pitch of every head: its line or space, the clef, the key, accidentals and ties."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.music.score import SpelledPitch
from services.omr.assembly.accidentals import alterations
from services.omr.assembly.clefs import middle_line, named, octaves_at
from services.omr.assembly.keys import key_steps
from services.omr.assembly.placing import StaffSymbol
from services.omr.assembly.reading import ReadMeasure, ReadSystem
from services.omr.assembly.ties import HeadKey, StaffHead, join_ties, tie_ends
from services.omr.vocabulary import HEADS, SymbolClass

_TIE_ENDS = frozenset({SymbolClass.TIE_START, SymbolClass.TIE_END})


@dataclass(frozen=True, slots=True)
class PitchedHead:
    """What a head sounds.

    Attributes:
        pitch: spelled.
        sign: the accidental before it, where one stands there.
        tied_to: the head that it is tied to.
        tied_from: the head that is tied to it.
    """

    pitch: SpelledPitch
    sign: StaffSymbol | None
    tied_to: HeadKey | None
    tied_from: HeadKey | None


@dataclass(frozen=True, slots=True)
class _Place:
    """The heads of one staff in one measure, from left to right, with their diatonic numbers."""

    system: ReadSystem
    measure: ReadMeasure
    index: int
    staff: int
    heads: tuple[tuple[StaffSymbol, int], ...]


def read_pitches(systems: Sequence[ReadSystem]) -> dict[HeadKey, PitchedHead]:
    """The pitch of every head of every system, ties joined over the whole score."""
    places = list(_places(systems))
    ties = _ties(systems, places)
    back = {end: start for start, end in ties.items()}
    alters: dict[HeadKey, int] = {}
    pitched: dict[HeadKey, PitchedHead] = {}
    for place in places:
        page = place.system.page
        mine = [(page, head.index) for head, _ in place.heads]
        tied_from = {key[1]: alters[back[key]] for key in mine if back.get(key) in alters}
        tied_to = {key[1]: ties[key][1] for key in mine if key in ties and ties[key][0] == page}
        found = alterations(
            place.heads, place.measure.signs, key_steps(place.measure.key), tied_from, tied_to
        )
        for head, diatonic in place.heads:
            key = (page, head.index)
            alters[key] = found[head.index]
            pitch = named(diatonic, found[head.index])
            pitched[key] = PitchedHead(
                pitch, place.measure.signs.get(head.index), ties.get(key), back.get(key)
            )
    return _without_false_ties(pitched)


def _places(systems: Sequence[ReadSystem]) -> Iterator[_Place]:
    index = 0
    for system in systems:
        for measure in system.measures:
            chords = (*measure.chords, *measure.graces)
            every = {head.index: head for chord in chords for head in chord.heads}
            for staff, clefs in enumerate(system.clefs):
                heads = [head for head in every.values() if head.staff == staff]
                heads.sort(key=lambda head: head.x)
                lines = [
                    s for s in system.placed.symbols if s.kind is SymbolClass.OTTAVA and s.staff == staff
                ]
                noted = tuple(
                    (head, middle_line(clefs.at(head.x)) + head.position + octaves_at(head.x, lines))
                    for head in heads
                )
                yield _Place(system, measure, index, staff, noted)
            index += 1


def _ties(systems: Sequence[ReadSystem], places: Sequence[_Place]) -> dict[HeadKey, HeadKey]:
    """For each head that is tied on, the head that it is tied to."""
    ends = {}
    for system in systems:
        heads = [symbol for symbol in system.placed.symbols if symbol.kind in HEADS]
        ends[id(system)] = tie_ends(heads, [s for s in system.placed.symbols if s.kind in _TIE_ENDS])
    courses: dict[int, list[StaffHead]] = {}
    for place in places:
        on, back = ends[id(place.system)]
        course = courses.setdefault(place.system.staves[place.staff], [])
        for head, diatonic in place.heads:
            key = (place.system.page, head.index)
            signed = head.index in place.measure.signs
            course.append(
                StaffHead(key, place.index, head.x, diatonic, on[head.index], back[head.index], signed)
            )
    joined: dict[HeadKey, HeadKey] = {}
    for course in courses.values():
        joined |= join_ties(course)
    return joined


def _without_false_ties(pitched: dict[HeadKey, PitchedHead]) -> dict[HeadKey, PitchedHead]:
    """Drop ties between heads that turned out to differ in pitch."""

    def agrees(one: HeadKey | None, other: PitchedHead) -> bool:
        return one is not None and pitched[one].pitch == other.pitch

    return {
        key: PitchedHead(
            head.pitch,
            head.sign,
            head.tied_to if agrees(head.tied_to, head) else None,
            head.tied_from if agrees(head.tied_from, head) else None,
        )
        for key, head in pitched.items()
    }
