"""Random but plausible notation as MEI, in which rare things are common.

A piece is a row of passages of a few measures. Each has a key, a metre, and for every staff a texture, a
clef and a thickness of its chords; marks are added after. Most pieces are for piano, some for one staff, or
for three (a voice or an organ's pedals with piano).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count, pairwise
from random import Random
from typing import TypeVar

from pipelines.engraving.marks import (
    Habits,
    add_articulations,
    add_graces,
    cross_staves,
    measure_marks,
    places,
    single_marks,
    slurs,
    tie_notes,
)
from pipelines.engraving.mei import Clef, Event, Layer, Mark, Measure, Piece, flat
from pipelines.engraving.mei_writer import write_mei
from pipelines.engraving.rhythms import METRES, Metre
from pipelines.engraving.spelling import spell
from pipelines.engraving.textures import LOWER, UPPER, Hand, Texture

TREBLE, BASS, ALTO, TENOR, SOPRANO = Clef("G", 2), Clef("F", 4), Clef("C", 3), Clef("C", 4), Clef("C", 1)
TREBLE_8VB, TREBLE_8VA, BASS_8VB = Clef("G", 2, -1), Clef("G", 2, 1), Clef("F", 4, -1)

#: Clefs and how often each is drawn, for an upper or single staff, and for a lower one.
UPPER_CLEFS = {TREBLE: 30, BASS: 3, ALTO: 2, TENOR: 2, SOPRANO: 1, TREBLE_8VB: 2, TREBLE_8VA: 0.5}
LOWER_CLEFS = {BASS: 30, TREBLE: 6, ALTO: 1, TENOR: 1.5, BASS_8VB: 1, TREBLE_8VB: 0.5}

#: Staves of a piece and those that a brace joins, and how often.
LAYOUTS: dict[tuple[int, tuple[int, int] | None], float] = {
    (2, (1, 2)): 14, (1, None): 2, (3, (2, 3)): 2, (3, (1, 2)): 0.7, (2, None): 0.7,
}  # fmt: skip

#: Weights of chords of 1, 2, ... heads, one of which a passage draws for each hand.
THICKNESSES = (
    (1.0,),
    (1.0,),
    (6.0, 1.0),
    (2.0, 2.0, 1.0),
    (0.0, 1.0),
    (1.0, 1.0, 2.0, 2.0, 1.0),
    (0, 0, 1, 2, 1),
)

TITLES = ("Sonate", "Sonata No. 12", "Rag-time two-step", "Prélude", "Etüde", "Menuett und Trio", "Andantino",
          "Impromptu", "Marche", "Walzer", "II.", "Rondo", "18 kleine Stücke", "")  # fmt: skip
COMPOSERS = ("A. Meyer", "J. B. Anders, Op. 5", "Komp. 1786", "von CLARA WEISS", "")

#: A little more than fills a page or two.
MEASURES = (24, 56)


@dataclass(slots=True)
class _Composer:
    """The piece as it grows: what its staves and measures are so far."""

    random: Random
    staves: int
    brace: tuple[int, int] | None
    clefs: list[Clef]
    key: int
    metre: Metre
    measures: list[Measure] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)

    def lower(self, staff: int) -> bool:
        """Whether a staff (from 1) is the lower one of a brace."""
        return self.brace is not None and staff == self.brace[1]

    def change(self) -> str:
        """Draws whether key and metre change, and tells what is to be printed."""
        printed = []
        if self.random.random() < 0.25:
            self.key = _draw_key(self.random)
            cancelled = ' keysig.cancelaccid="before"' if self.random.random() < 0.6 else ""
            printed.append(f'keysig="{_key_name(self.key)}"{cancelled}')
        if self.random.random() < 0.25:
            self.metre = _draw(METRES, self.random)
            printed.append(self.metre.attributes())
        return " ".join(printed)

    def passage(self) -> None:
        """Adds a passage of one to eight measures."""
        change = self.change() if self.measures else ""
        length = self.random.choice((1, 2, 4, 4, 4, 8, 8))
        textures = [self._texture(staff) for staff in range(1, self.staves + 1)]
        hands = [self._hand(clef) for clef in self.clefs]
        for index in range(length):
            staves = [texture(hand, self.metre) for texture, hand in zip(textures, hands, strict=True)]
            for staff, (layers, hand) in enumerate(zip(staves, hands, strict=True), 1):
                if self.random.random() < 0.035:
                    self._change_clef(staff, layers, hand)
            self.measures.append(Measure(staves, change=change if index == 0 else ""))
            self.keys.append(self.key)

    def _texture(self, staff: int) -> Texture:
        return _draw(LOWER if self.lower(staff) else UPPER, self.random)

    def _hand(self, clef: Clef) -> Hand:
        random = self.random
        return Hand(
            random,
            clef,
            reach=random.choice((5, 7, 8, 9, 10, 13)),
            thickness=random.choice(THICKNESSES),
            rests=random.choice((0.0, 0.0, 0.06, 0.15, 0.3)),
            joining=random.choice((0.1, 0.3, 0.5, 0.8)),
            at=random.randint(-4, 4),
            marked=random.choice((0, 2, 6, 1_000, 1_000, 1_000)),
        )

    def _change_clef(self, staff: int, layers: list[Layer], hand: Hand) -> None:
        """Puts another clef among or after a measure's notes, which keep their places on the staff."""
        new = _draw(LOWER_CLEFS if self.lower(staff) else UPPER_CLEFS, self.random)
        if new == hand.clef or len(layers) > 1 or not layers[0].items:
            return
        items = layers[0].items
        at = self.random.choice((len(items), self.random.randint(1, len(items))))
        for event in flat(items[at:]):
            for head in event.heads:
                head.diatonic += new.middle - hand.clef.middle
        items.insert(at, new)
        self.clefs[staff - 1] = hand.clef = new


Choice = TypeVar("Choice")


def _draw(weights: dict[Choice, float], random: Random) -> Choice:
    return random.choices(list(weights), list(weights.values()))[0]


def _draw_key(random: Random) -> int:
    return random.choice((0, 0, random.randint(-4, 4), random.randint(-7, 7)))


def _key_name(key: int) -> str:
    return "0" if key == 0 else f"{abs(key)}{'s' if key > 0 else 'f'}"


def random_piece(random: Random) -> Piece:
    """A piece of `MEASURES` measures or a few more."""
    staves, brace = _draw(LAYOUTS, random)
    lower = brace[1] if brace else 0
    clefs = [_draw(LOWER_CLEFS if staff == lower else UPPER_CLEFS, random) for staff in range(1, staves + 1)]
    composer = _Composer(random, staves, brace, list(clefs), _draw_key(random), _draw(METRES, random))
    opening = f'keysig="{_key_name(composer.key)}" {composer.metre.attributes()}'
    while len(composer.measures) < random.randint(*MEASURES):
        composer.passage()
    _shorten_upbeat(composer.measures, random)
    _add_marks(composer)
    _add_barlines(composer.measures, random)
    groups = [brace] if brace else []
    return Piece(clefs, groups, opening, composer.measures, random.choice(TITLES), random.choice(COMPOSERS))


def _shorten_upbeat(measures: list[Measure], random: Random) -> None:
    """Makes the first measure an upbeat now and then: a single note or rest on every staff."""
    value = random.choice((8, 8, 4))
    if random.random() < 0.75 or measures[0].change:
        return
    for staff in measures[0].staves:
        heads = next((event.heads for event in flat(staff[0].items) if event.heads), [])
        staff[:] = [Layer([Event(value, heads=heads)])]


def _add_marks(composer: _Composer) -> None:
    """Ties, accidentals and everything that stands over or under the notes."""
    random, measures = composer.random, composer.measures
    habits = Habits.draw(random)
    staves = range(1, composer.staves + 1)
    parts = [places(measures, staff, layer) for staff in staves for layer in (0, 1)]
    for part in parts:
        tie_notes(part, habits, random)
        if part and composer.brace and part[0].staff in composer.brace and habits.cross_staff:
            cross_staves(part, habits, random, sum(composer.brace) - part[0].staff, composer.clefs)
        add_graces(part, habits, random)
        add_articulations(part, habits, random)
        for marks in (slurs, single_marks, measure_marks):
            for measure, mark in marks(part, habits, random):
                measure.marks.append(mark)
    spell(measures, composer.keys, habits, random)
    first = next((event for part in parts for event in (place.event for place in part)), None)
    if first is not None and random.random() < 0.6:
        tempo = random.choice(
            ("Allegro", "Andante", "Allegro ma non troppo", "Tempo di Marcia", "Presto", "Adagio")
        )
        measures[0].marks.append(Mark("tempo", 1, first, None, "", tempo))


def _add_barlines(measures: list[Measure], random: Random) -> None:
    """Double bars where key or metre change, repeats both ways, voltas, and the end."""
    often = random.choice((0.0, 0.05, 0.1, 0.25))
    for before, after in pairwise(measures):
        if after.change and random.random() < 0.4:
            before.right = "dbl"
        if random.random() < often:
            _mark_boundary(before, after, random)
    for index in range(3, len(measures) - 2):
        clear = all(not each.ending and not each.right for each in measures[index - 1 : index + 2])
        if clear and random.random() < often / 2:
            measures[index].ending, measures[index].right = 1, "rptend"
            measures[index + 1].ending = 2
    measures[-1].right = random.choice(("end", "end", "end", "rptend", "dbl", ""))
    if random.random() < 0.1:
        measures[0].left = "rptstart"


def _mark_boundary(before: Measure, after: Measure, random: Random) -> None:
    kind = random.choice(("dbl", "end", "rptstart", "rptend", "rptboth", "rptboth"))
    if kind == "rptstart":
        before.right, after.left = "", "rptstart"
    elif kind == "rptboth" and random.random() < 0.5:
        before.right, after.left = "rptend", "rptstart"
    else:
        before.right = kind


def random_scores(seed: int) -> Iterator[tuple[str, str]]:
    """Endless random pieces: names and MEI documents, the same for the same seed."""
    for number in count():
        yield f"random-{seed}-{number}", write_mei(random_piece(Random(f"{seed}-{number}")))
