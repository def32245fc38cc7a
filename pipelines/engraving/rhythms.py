"""Metres, and the ways in which a stretch of time is divided; what songs seldom have is not rare here.

A pattern is written as lengths in parts of a stretch, "3/4 1/4"; "3:2 1 1 1" is a tuplet, its lengths in
parts of one `normal`th of the stretch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from random import Random

from pipelines.engraving.mei import Event, Tuplet


@dataclass(frozen=True, slots=True)
class Metre:
    """A time signature: how it is printed, and its beats in quarter notes."""

    count: int
    unit: int
    beats: tuple[Fraction, ...]
    symbol: str = ""

    @property
    def duration(self) -> Fraction:
        """Of a measure, in quarter notes."""
        return sum(self.beats, Fraction(0))

    def attributes(self) -> str:
        """As attributes of MEI's `scoreDef`."""
        symbol = f' meter.sym="{self.symbol}"' if self.symbol else ""
        return f'meter.count="{self.count}" meter.unit="{self.unit}"{symbol}'


def _metre(text: str, beats: str, symbol: str = "") -> Metre:
    count, unit = map(int, text.split("/"))
    return Metre(count, unit, tuple(Fraction(beat) for beat in beats.split()), symbol)


#: Metres and how often each is drawn.
METRES = {
    _metre("4/4", "1 1 1 1"): 6,
    _metre("4/4", "1 1 1 1", "common"): 10,
    _metre("2/2", "2 2"): 3,
    _metre("2/2", "2 2", "cut"): 8,
    _metre("2/4", "1 1"): 18,
    _metre("3/4", "1 1 1"): 14,
    _metre("3/8", "3/2"): 9,
    _metre("6/8", "3/2 3/2"): 10,
    _metre("9/8", "3/2 3/2 3/2"): 3,
    _metre("12/8", "3/2 3/2 3/2 3/2"): 3,
    _metre("6/16", "3/4 3/4"): 1,
    _metre("9/16", "3/4 3/4 3/4"): 1,
    _metre("12/16", "3/4 3/4 3/4 3/4"): 2,
    _metre("4/8", "1/2 1/2 1/2 1/2"): 1,
    _metre("5/8", "1 3/2"): 1,
    _metre("7/8", "1 1 3/2"): 1,
    _metre("8/8", "3/2 3/2 1"): 0.5,
    _metre("10/8", "3/2 3/2 1 1"): 0.5,
    _metre("5/4", "1 1 1 1 1"): 2,
    _metre("6/4", "3 3"): 1,
    _metre("7/4", "1 1 1 1 1 1 1"): 0.5,
    _metre("3/2", "2 2 2"): 2,
}

#: Patterns of a stretch that halves, and how often each is chosen for a palette.
HALVING: dict[str, float] = {
    "1": 6, "1/2 1/2": 8, "3/4 1/4": 6, "1/4 3/4": 2, "1/4 1/2 1/4": 4, "1/2 1/4 1/4": 5, "1/4 1/4 1/2": 5,
    "1/4 1/4 1/4 1/4": 8, "7/8 1/8": 2, "3/4 1/8 1/8": 3, "1/2 3/8 1/8": 3, "3/8 1/8 1/2": 3,
    "3/8 1/8 3/8 1/8": 3, "1/8 3/8 1/8 3/8": 1, "1/4 1/8 1/8 1/2": 2, "1/2 1/4 1/8 1/8": 3,
    "1/4 1/8 1/8 1/4 1/4": 2, "1/2 1/8 1/8 1/8 1/8": 3, "1/8 1/8 1/8 1/8 1/2": 3,
    "1/8 1/8 1/8 1/8 1/8 1/8 1/8 1/8": 6, "1/8 1/4 1/8 1/4 1/4": 3, "1/8 1/4 1/4 1/4 1/8": 2,
    "1/2 1/4 3/16 1/16": 1, "7/16 1/16 1/2": 1, "3/16 1/16 3/16 1/16 1/2": 1,
    "1/2 1/16 1/16 1/16 1/16 1/16 1/16 1/16 1/16": 1,
    "3:2 1 1 1": 7, "3:2 2 1": 2, "3:2 1 2": 1, "3:2 3/2 1/2 1": 1, "3:2 1 1/2 1/2 1": 1,
    "3:2 1/2 1/2 1 1": 1, "6:4 1 1 1 1 1 1": 4, "5:4 1 1 1 1 1": 2, "7:4 1 1 1 1 1 1 1": 2,
    "9:8 1 1 1 1 1 1 1 1 1": 0.5, "3:2 1/2 1/2 1/2 1/2 1/2 1/2": 1,
}  # fmt: skip

#: The same for a stretch of three parts.
IN_THREES: dict[str, float] = {
    "1": 6, "2/3 1/3": 6, "1/3 2/3": 3, "1/3 1/3 1/3": 10, "1/6 1/6 1/6 1/6 1/6 1/6": 8, "1/2 1/6 1/3": 4,
    "1/3 1/6 1/6 1/3": 3, "1/3 1/3 1/6 1/6": 3, "1/6 1/6 1/3 1/3": 3, "2/3 1/6 1/6": 3, "1/6 1/6 2/3": 2,
    "1/2 1/2": 2, "1/3 1/6 1/6 1/6 1/6": 4, "7/12 1/12 1/3": 1, "1/2 1/12 1/12 1/3": 1,
    "1/12 1/12 1/12 1/12 1/12 1/12 1/12 1/12 1/12 1/12 1/12 1/12": 3, "1/3 1/12 1/12 1/12 1/12 1/3": 2,
    "2:3 1 1": 2, "4:3 1 1 1 1": 2, "5:3 1 1 1 1 1": 1, "7:6 1 1 1 1 1 1 1": 1,
}  # fmt: skip

#: The shortest note, or value of a dot, and the longest note, in quarter notes.
SHORTEST = Fraction(1, 16)
LONGEST = Fraction(4)


@cache
def written(duration: Fraction) -> tuple[int, int] | None:
    """The value and the dots that last `duration` quarter notes; None where no single one does."""
    for dots, factor in enumerate((Fraction(1), Fraction(3, 2), Fraction(7, 4))):
        plain = duration / factor
        value = 4 / plain
        is_value = value.denominator == 1 and value.numerator in (1, 2, 4, 8, 16, 32, 64)
        if is_value and plain / 2**dots >= SHORTEST and plain <= LONGEST:
            return value.numerator, dots
    return None


def plain_event(duration: Fraction) -> Event:
    """A rest of that length."""
    value = written(duration)
    if value is None:
        raise ValueError(f"No single note value lasts {duration} quarter notes.")
    return Event(*value)


@cache
def _lengths(pattern: str, stretch: Fraction) -> tuple[tuple[int, int], tuple[Fraction, ...]]:
    """The tuplet's ratio (1, 1 where it is none), and the written lengths of a pattern."""
    head, _, rest = pattern.partition(" ")
    if ":" not in head:
        return (1, 1), tuple(Fraction(part) * stretch for part in pattern.split())
    actual, normal = map(int, head.split(":"))
    return (actual, normal), tuple(Fraction(part) * stretch / normal for part in rest.split())


def fits(pattern: str, stretch: Fraction) -> bool:
    """Whether every length of the pattern can be written."""
    return all(written(length) is not None for length in _lengths(pattern, stretch)[1])


def laid_out(pattern: str, stretch: Fraction) -> list[Event | Tuplet]:
    """The pattern as rests over a stretch of time."""
    (actual, normal), lengths = _lengths(pattern, stretch)
    events = [plain_event(length) for length in lengths]
    return [Tuplet(actual, normal, events)] if actual > 1 else list(events)


def _is_power_of_two(number: int) -> bool:
    return number & (number - 1) == 0


def patterns_for(stretch: Fraction) -> dict[str, float]:
    """The patterns that suit a stretch of time, with their frequencies; empty where none does."""
    if not _is_power_of_two(stretch.denominator):
        return {}
    if _is_power_of_two(stretch.numerator):
        table = HALVING
    elif stretch.numerator % 3 == 0 and _is_power_of_two(stretch.numerator // 3):
        table = IN_THREES
    else:
        return {}
    return {pattern: weight for pattern, weight in table.items() if fits(pattern, stretch)}


class Palette:
    """The few patterns that a passage keeps to, drawn as they are needed for each length of stretch."""

    def __init__(self, random: Random, size: int) -> None:
        self._random = random
        self._size = size
        self._chosen: dict[Fraction, list[str]] = {}

    def draw(self, stretch: Fraction) -> list[Event | Tuplet]:
        """One of the passage's patterns, laid out over the stretch."""
        if stretch not in self._chosen:
            table = patterns_for(stretch)
            names, weights = list(table), list(table.values())
            self._chosen[stretch] = self._random.choices(names, weights, k=self._size)
        return laid_out(self._random.choice(self._chosen[stretch]), stretch)


def stretches(metre: Metre, random: Random, joining: float) -> list[Fraction]:
    """A measure cut into stretches: its beats, two or three neighbours joined now and then, some halved."""
    beats = list(metre.beats)
    index = 0
    while index + 1 < len(beats):
        for count in (3, 2):
            chosen = beats[index : index + count]
            joined = sum(chosen, Fraction(0))
            alike = len(chosen) == count and len(set(chosen)) == 1
            aligned = count == 3 or index % 2 == 0
            if alike and aligned and patterns_for(joined) and random.random() < joining / count:
                beats[index : index + count] = [joined]
                break
        index += 1
    parts = [
        [beat / 2] * 2 if joining < 0.3 and beat >= 1 and random.random() < 0.1 else [beat] for beat in beats
    ]
    return [part for beat in parts for part in beat]


def beam_windows(metre: Metre, random: Random) -> Sequence[Fraction]:
    """Lengths of time that share a beam: a beat, sometimes two, or half of one; seldom none at all."""
    chance = random.random()
    beats = metre.beats
    if chance < 0.06:
        return ()
    if chance < 0.35 and len(beats) in (2, 4) and len(set(beats)) == 1:
        return tuple(first + second for first, second in zip(beats[::2], beats[1::2], strict=True))
    if chance < 0.42 and metre.count == 3 and metre.unit in (4, 8):
        return (metre.duration,)
    if chance < 0.5:
        return tuple(beat / 2 for beat in beats for _ in range(2))
    return beats
