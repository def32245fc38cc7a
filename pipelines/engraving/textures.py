"""Figures that fill a measure of one staff: melodies, runs, broken chords, rags' left and right hands, hymns.

A `Hand` keeps where a staff's music moves and how thick its chords are; a texture fills a measure with the
layers of one staff.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from random import Random

from pipelines.engraving.mei import Clef, Event, Head, Item, Layer, Tuplet, copied, flat
from pipelines.engraving.rhythms import (
    Metre,
    Palette,
    beam_windows,
    laid_out,
    patterns_for,
    plain_event,
    stretches,
    written,
)

#: Intervals above the lowest note, in steps, and how often; seconds are rarer than thirds and sixths.
INTERVALS = {1: 2, 2: 8, 3: 5, 4: 6, 5: 7, 6: 3, 7: 10, 8: 1, 9: 1}

#: Repeated and running notes are all of one of these lengths, in quarter notes.
RUN_LENGTHS = {Fraction(1, 2): 5, Fraction(1, 4): 10, Fraction(1, 8): 6, Fraction(1, 16): 1}


@dataclass(slots=True)
class Hand:
    """The music of one staff during a passage.

    Attributes:
        clef: the clef in force.
        reach: how far from the middle line it goes, in steps.
        thickness: weights of chords of 1, 2, ... heads.
        rests: how likely a note is left out.
        joining: how likely neighbouring beats are one stretch: high for slow music.
        at: where it stands, in steps from the middle line.
        marked: how many more tuplets get their number; old editions mark the first ones only.
    """

    random: Random
    clef: Clef
    reach: int = 8
    thickness: tuple[float, ...] = (1.0,)
    rests: float = 0.0
    joining: float = 0.4
    at: int = 0
    marked: int = 1_000
    palette: Palette = field(init=False)
    windows: dict[Metre, tuple[Fraction, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.palette = Palette(self.random, self.random.randint(1, 4))

    def step(self, largest: int) -> int:
        """Moves on by at most `largest` steps, back where it would leave its reach; tells where it is."""
        self.at += self.random.randint(-largest, largest)
        if abs(self.at) > self.reach:
            self.at = self.random.randint(-self.reach, self.reach) // 2
        return self.at

    def head(self, place: int) -> Head:
        """A notehead so many steps above the middle line."""
        return Head(self.clef.middle + place)

    def chord(self, place: int) -> list[Head]:
        """Heads from `place` on, downwards in the upper half of the staff, as many as its thickness gives."""
        size = self.random.choices(range(1, len(self.thickness) + 1), self.thickness)[0]
        names, weights = list(INTERVALS), list(INTERVALS.values())
        steps = {0} | {self.random.choices(names, weights)[0] for _ in range(size - 1)}
        direction = -1 if place > 0 else 1
        return [self.head(place + direction * step) for step in sorted(steps)]

    def windows_for(self, metre: Metre) -> tuple[Fraction, ...]:
        """How this passage beams in a metre."""
        if metre not in self.windows:
            self.windows[metre] = tuple(beam_windows(metre, self.random))
        return self.windows[metre]

    def layer(self, items: list[Item], metre: Metre) -> Layer:
        """A layer of these items, their tuplets marked while there are marks left."""
        for item in items:
            if isinstance(item, Tuplet):
                item.marked = self.marked > 0
                item.bracket = self.random.random() < 0.4
                self.marked -= 1
        return Layer(items, self.windows_for(metre))


Texture = Callable[[Hand, Metre], list[Layer]]


def melody(hand: Hand, metre: Metre) -> list[Layer]:
    """Notes that wander in the passage's rhythms, rests among them."""
    return [_melody_layer(hand, metre)]


def _melody_layer(hand: Hand, metre: Metre) -> Layer:
    items: list[Item] = []
    silences: set[int] = set()
    for stretch in stretches(metre, hand.random, hand.joining):
        if hand.random.random() < hand.rests and written(stretch):
            items.append(plain_event(stretch))
            silences.add(id(items[-1]))
        else:
            items += hand.palette.draw(stretch)
    for event in flat(items):
        if id(event) not in silences and hand.random.random() >= hand.rests:
            event.heads = hand.chord(hand.step(hand.random.choice((1, 2, 2, 4, 7))))
    return hand.layer(items, metre)


def leaps(hand: Hand, metre: Metre) -> list[Layer]:
    """A melody that jumps about over and under many ledger lines."""
    hand.reach = 16
    layer = _melody_layer(hand, metre)
    for event in flat(layer.items):
        if event.heads:
            event.heads = hand.chord(hand.random.randint(-hand.reach, hand.reach))
    return [layer]


def two_voices(hand: Hand, metre: Metre) -> list[Layer]:
    """Two melodies of their own rhythm; the lower one sometimes has spaces where it is silent."""
    upper, lower = _melody_layer(hand, metre), _melody_layer(hand, metre)
    _lift(upper, 4)
    _lift(lower, -5)
    silent = hand.random.random()
    for event in flat(lower.items):
        event.space = not event.heads and silent < 0.5
    return [upper, lower]


def hymn(hand: Hand, metre: Metre) -> list[Layer]:
    """Two voices that mostly move together, as in four-part settings."""
    upper = _melody_layer(hand, metre)
    same = hand.random.random() < 0.6
    lower = hand.layer(copied(upper.items), metre) if same else _melody_layer(hand, metre)
    for event in flat(lower.items):
        if event.heads:
            event.heads = [hand.head(hand.random.randint(-7, 0))]
    _lift(upper, 3)
    return [upper, lower]


def _lift(layer: Layer, steps: int) -> None:
    for event in flat(layer.items):
        for head in event.heads:
            head.diatonic += steps


def _even(hand: Hand, metre: Metre) -> list[Event]:
    """Events of one short length, alike over the measure."""
    lengths = [length for length in RUN_LENGTHS if (metre.duration / length).denominator == 1]
    weights = [RUN_LENGTHS[length] for length in lengths]
    length = hand.random.choices(lengths, weights)[0]
    return [plain_event(length) for _ in range(int(metre.duration / length))]


def run(hand: Hand, metre: Metre) -> list[Layer]:
    """A scale up or down that turns now and then, perhaps after a rest, perhaps in octaves."""
    events = _even(hand, metre)
    direction = hand.random.choice((-1, 1))
    for index, event in enumerate(events):
        turn = hand.random.random() < 0.12 or abs(hand.at + direction) > hand.reach
        direction = -direction if turn else direction
        hand.at += direction * hand.random.choice((1, 1, 1, 1, 2))
        if index or hand.random.random() < 0.8:
            event.heads = hand.chord(hand.at)
        event.breaks_beam = index % 4 == 3 and hand.random.random() < 0.3
    return [hand.layer(list(events), metre)]


def broken_chords(hand: Hand, metre: Metre) -> list[Layer]:
    """Alberti basses, arpeggios and broken octaves."""
    events = _even(hand, metre)
    figure = hand.random.choice(((0, 2, 1, 2), (0, 1, 2), (0, 1, 2, 1), (0, 3), (0, 1, 2, 3), (3, 2, 1, 0)))
    low = hand.random.randint(-hand.reach, 2)
    chord = (low, low + 2, low + hand.random.choice((4, 5)), low + 7)
    for index, event in enumerate(events):
        event.heads = [hand.head(chord[figure[index % len(figure)]])]
    return [hand.layer(list(events), metre)]


def repeated_chords(hand: Hand, metre: Metre) -> list[Layer]:
    """One chord struck again and again."""
    events = _even(hand, metre)
    heads = hand.chord(hand.step(4))
    for event in events:
        event.heads = [Head(head.diatonic) for head in heads]
    return [hand.layer(list(events), metre)]


def stride(hand: Hand, metre: Metre) -> list[Layer]:
    """A rag's or a waltz's left hand: octave or bass note, then chords on the other half beats or beats."""
    events = [plain_event(part) for part in _bass_and_chord_parts(hand, metre)]
    octaves = hand.random.random() < 0.6
    for index, event in enumerate(events):
        if index % (3 if metre.count == 3 else 2) == 0:
            bass = hand.random.randint(-10, -1)
            event.heads = [hand.head(bass)] + ([hand.head(bass - 7)] if octaves and bass > -8 else [])
        elif hand.random.random() >= hand.rests:
            low = hand.random.randint(0, 6)
            event.heads = [hand.head(low + step) for step in (0, 2, hand.random.choice((4, 5)))]
    return [hand.layer(list(events), metre)]


def _bass_and_chord_parts(hand: Hand, metre: Metre) -> list[Fraction]:
    if metre.count == 3 or any(beat.numerator % 3 == 0 for beat in metre.beats):
        unit = Fraction(4, metre.unit)
        return [unit] * metre.count
    part = hand.random.choice((Fraction(1, 2), Fraction(1, 2), Fraction(1)))
    return [beat * part for beat in metre.beats for _ in range(int(1 / part))]


def rag(hand: Hand, metre: Metre) -> list[Layer]:
    """A rag's right hand: syncopation over two beats, in octaves with inner notes."""
    items: list[Item] = []
    figures = ("1/8 1/4 1/8 1/4 1/4", "1/8 1/4 1/8 1/8 1/4 1/8", "1/8 1/4 1/4 1/4 1/8", "1/8 1/8 1/8 1/8 1/2",
               "1/4 1/8 1/4 1/8 1/4", "1/8 1/8 1/4 1/8 1/8 1/4")  # fmt: skip
    beats = list(metre.beats)
    while beats:
        pair = beats[0] * 2 if beats[1:2] == beats[:1] and beats[0].numerator % 3 else beats[0]
        beats = beats[2:] if pair != beats[0] else beats[1:]
        usable = [figure for figure in figures if figure in patterns_for(pair)] or list(patterns_for(pair))
        items += laid_out(hand.random.choice(usable), pair)
    for event in flat(items):
        place = hand.step(4)
        octave = hand.random.random() < 0.5
        event.heads = [hand.head(place)] + ([hand.head(place - 7), hand.head(place - 3)] if octave else [])
    return [hand.layer(items, metre)]


def triplets(hand: Hand, metre: Metre) -> list[Layer]:
    """Triplets or sextuplets throughout; after the first ones without their number, as old editions print."""
    items: list[Item] = []
    kinds = ("3:2 1 1 1", "3:2 1 1 1", "6:4 1 1 1 1 1 1", "3:2 1/2 1/2 1/2 1/2 1/2 1/2", "3:2 2 1", "3:2 1 2")
    kind = hand.random.choice(kinds)
    for beat in metre.beats:
        possible = patterns_for(beat)
        items += laid_out(kind if kind in possible else hand.random.choice(list(possible)), beat)
    low = hand.step(3)
    for event in flat(items):
        if hand.random.random() >= hand.rests:
            event.heads = hand.chord(low + hand.random.choice((0, 1, 2, 4, 5, 7)))
    hand.marked = min(hand.marked, hand.random.choice((1, 2, 4, 8, 1_000)))
    return [hand.layer(items, metre)]


def held(hand: Hand, metre: Metre) -> list[Layer]:
    """One long chord, where a single value fills the measure; else one for each beat."""
    whole = written(metre.duration) is not None
    parts = [metre.duration] if whole else list(metre.beats)
    events = [plain_event(part) for part in parts]
    for event in events:
        if hand.random.random() >= hand.rests / 2:
            event.heads = hand.chord(hand.step(5))
    return [hand.layer(list(events), metre)]


def silent(hand: Hand, metre: Metre) -> list[Layer]:
    """A whole-measure rest."""
    return [Layer()]


#: Textures and how often a passage of the upper or a single staff, or of the lower staff, is made of each.
UPPER: dict[Texture, float] = {
    melody: 10, leaps: 2, two_voices: 4, hymn: 3, run: 6, broken_chords: 2, repeated_chords: 2, rag: 5,
    triplets: 4, held: 1, silent: 0.7,
}  # fmt: skip
LOWER: dict[Texture, float] = {
    melody: 6, leaps: 1, two_voices: 3, hymn: 3, run: 3, broken_chords: 6, repeated_chords: 3, stride: 8,
    triplets: 3, held: 2, silent: 1,
}  # fmt: skip
