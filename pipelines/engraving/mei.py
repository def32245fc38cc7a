"""A small model of written music, of which `mei_writer` makes MEI.

Every event says what is printed with it, so that a page can be made to show whatever is wanted. Durations are
in quarter notes; pitches are counted diatonically, octave * 7 + step, C is 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction


@dataclass(slots=True)
class Head:
    """One notehead: `sign` is whether its accidental is printed; `tie` is "", "i", "m" or "t" as in MEI."""

    diatonic: int
    alter: int = 0
    sign: bool = False
    courtesy: bool = False
    tie: str = ""


@dataclass(slots=True)
class Event:
    """A chord, or without heads a rest; `value` is 1 for a whole note, 64 for a 64th.

    Attributes:
        space: for a rest: whether it is not printed.
        graces: grace notes before it; `slashed` is whether they are.
        staff: the staff (from 1) that it is written on, where that is not its own.
        breaks_beam: whether the beam's inner lines break after it.
    """

    value: int
    dots: int = 0
    heads: list[Head] = field(default_factory=list)
    space: bool = False
    graces: list[Event] = field(default_factory=list)
    slashed: bool = False
    articulations: tuple[str, ...] = ()
    staff: int | None = None
    breaks_beam: bool = False

    @property
    def duration(self) -> Fraction:
        """As written, in quarter notes; what a tuplet makes of it is not counted."""
        return Fraction(4, self.value) * (2 - Fraction(1, 2**self.dots))

    @property
    def can_be_beamed(self) -> bool:
        """Whether it has a stem with flags."""
        return self.value >= 8 and bool(self.heads)


@dataclass(slots=True)
class Tuplet:
    """Events of which `actual` fill the time of `normal`; `marked` is whether its number is printed."""

    actual: int
    normal: int
    events: list[Event]
    marked: bool = True
    bracket: bool = False

    @property
    def duration(self) -> Fraction:
        """In quarter notes."""
        return sum((event.duration for event in self.events), Fraction(0)) * self.normal / self.actual


@dataclass(frozen=True, slots=True)
class Clef:
    """A clef: shape G, F or C, the line it marks from below, and octaves that it shifts by."""

    shape: str
    line: int
    octave: int = 0
    duration = Fraction(0)

    @property
    def middle(self) -> int:
        """Diatonic number of the middle line."""
        marked = {"G": 4 * 7 + 4, "F": 3 * 7 + 3, "C": 4 * 7}[self.shape]
        return marked + 2 * (3 - self.line) + 7 * self.octave

    def attributes(self, prefix: str = "") -> str:
        """As attributes of MEI's `clef`, or with a prefix of its `staffDef`."""
        text = f'{prefix}shape="{self.shape}" {prefix}line="{self.line}"'
        if self.octave:
            place = "above" if self.octave > 0 else "below"
            text += f' {prefix}dis="8" {prefix}dis.place="{place}"'
        return text


Item = Event | Tuplet | Clef


@dataclass(slots=True)
class Layer:
    """One voice of a staff in a measure; without items a whole-measure rest.

    Attributes:
        windows: lengths of time whose notes share a beam, in order; none: every note has its flags.
    """

    items: list[Item] = field(default_factory=list)
    windows: Sequence[Fraction] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """What stands over or under a staff: MEI's `tag`, from the event `start` to `end`."""

    tag: str
    staff: int
    start: Event
    end: Event | None = None
    attributes: str = ""
    text: str = ""


@dataclass(slots=True)
class Measure:
    """A measure of all staves.

    Attributes:
        staves: the layers of each staff.
        left, right: barlines by MEI's names ("" is the usual one).
        change: attributes of a `scoreDef` before it: a change of key or metre.
        ending: number of the volta that it belongs to, 0 for none.
    """

    staves: list[list[Layer]]
    marks: list[Mark] = field(default_factory=list)
    left: str = ""
    right: str = ""
    change: str = ""
    ending: int = 0


@dataclass(slots=True)
class Piece:
    """A piece.

    Attributes:
        clefs: of the staves at its start.
        groups: first and last staves (from 1) that a brace joins.
        opening: attributes of the first `scoreDef`: key and metre.
        title, composer: "" for none.
    """

    clefs: list[Clef]
    groups: list[tuple[int, int]]
    opening: str
    measures: list[Measure]
    title: str = ""
    composer: str = ""


def flat(items: Sequence[Item]) -> Iterator[Event]:
    """The events of a layer, tuplets opened, grace notes left out."""
    for item in items:
        if isinstance(item, Tuplet):
            yield from item.events
        elif isinstance(item, Event):
            yield item


def copied(items: Sequence[Item]) -> list[Item]:
    """The same rhythm and heads as new objects, without marks of its own."""
    copies: list[Item] = []
    for item in items:
        if isinstance(item, Tuplet):
            copies.append(replace(item, events=[_copied_event(event) for event in item.events]))
        elif isinstance(item, Event):
            copies.append(_copied_event(item))
    return copies


def _copied_event(event: Event) -> Event:
    heads = [Head(head.diatonic) for head in event.heads]
    return replace(event, heads=heads, graces=[], articulations=(), staff=None)
