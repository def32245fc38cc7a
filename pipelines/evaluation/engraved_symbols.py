"""Engraved pages as a model would see them: perfect, or with the mistakes that models make."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

import numpy as np

from pipelines.engraving.pages import ENGRAVED_SPACE_PX, UNKNOWN_POSITION, EngravedPage
from services.omr.assembly.recognition import RecognisedPage
from services.omr.contract import STAFF_SPACE_PX
from services.omr.page import PreparedPage, Staff, Symbol, System
from services.omr.vocabulary import CLASSES, HEADS, RESTS, SymbolClass

_SCALE: Final = STAFF_SPACE_PX / ENGRAVED_SPACE_PX
_CERTAIN: Final = 0.98
#: Classes that are taken for one another.
_CONFUSED: Final = (
    (SymbolClass.NOTEHEAD_BLACK, SymbolClass.NOTEHEAD_HALF),
    (SymbolClass.NOTEHEAD_HALF, SymbolClass.NOTEHEAD_WHOLE),
    (SymbolClass.SHARP, SymbolClass.NATURAL),
    (SymbolClass.REST_8TH, SymbolClass.REST_16TH),
    (SymbolClass.TIE_START, SymbolClass.SLUR_START),
    (SymbolClass.TIE_END, SymbolClass.SLUR_END),
    (SymbolClass.AUGMENTATION_DOT, SymbolClass.STACCATO),
    (SymbolClass.BARLINE_SINGLE, SymbolClass.STEM),
)


@dataclass(frozen=True, slots=True)
class Mistakes:
    """How often and how far a model errs.

    Attributes:
        missed: share of symbols not seen.
        invented: symbols seen where there are none, as a share of those there are.
        confused: share of symbols taken for another class, or given another position, value or dots.
        jitter_px: standard deviation of centres, in px of the prepared page.
    """

    missed: float = 0.0
    invented: float = 0.0
    confused: float = 0.0
    jitter_px: float = 0.0


def recognised(page: EngravedPage, mistakes: Mistakes = Mistakes(), seed: int = 0) -> RecognisedPage:
    """The page as if its symbols had been found by a model that makes such mistakes."""
    random = Random(seed)
    symbols = [_symbol(row, mistakes, random) for row in page.symbols if random.random() >= mistakes.missed]
    for _ in range(round(mistakes.invented * len(page.symbols))):
        symbols.append(_invented(page, random))
    return RecognisedPage(_prepared(page), tuple(_systems(page)), tuple(symbols))


def _prepared(page: EngravedPage) -> PreparedPage:
    height, width = page.image.shape
    grid = STAFF_SPACE_PX
    columns, rows = int(width * _SCALE / grid) + 2, int(height * _SCALE / grid) + 2
    x, y = np.meshgrid(np.arange(columns) * grid / _SCALE, np.arange(rows) * grid / _SCALE)
    return PreparedPage(page.image, (width, height), grid, x, y)


def _systems(page: EngravedPage) -> list[System]:
    systems = []
    for number in np.unique(page.staves["system"]):
        rows = page.staves[page.staves["system"] == number]
        staves = tuple(
            Staff(np.array([row["left"], row["right"]]) * _SCALE, np.array([row["y"], row["y"]]) * _SCALE)
            for row in rows
        )
        first = [i for i in range(len(rows)) if i == 0 or rows["part"][i] != rows["part"][i - 1]]
        last = [i - 1 for i in first[1:]] + [len(rows) - 1]
        systems.append(System(staves, tuple(zip(first, last, strict=True))))
    return systems


def _symbol(row: np.void, mistakes: Mistakes, random: Random) -> Symbol:
    kind = CLASSES[int(row["kind"])]
    position, duration, dots = int(row["position"]), int(row["duration"]), int(row["dots"])
    confidence = random.uniform(0.6, 1.0) if mistakes != Mistakes() else 1.0
    if random.random() < mistakes.confused:
        others = [b if a is kind else a for a, b in _CONFUSED if kind in (a, b)]
        choice = random.randrange(4)
        if choice == 0 and others:
            kind = random.choice(others)
        elif choice == 1:
            position += random.choice((-1, 1))
        elif choice == 2:
            duration = min(6, max(0, duration + random.choice((-1, 1))))
        else:
            dots = 0 if dots else 1
    timed = kind in HEADS or kind in RESTS
    return Symbol(
        kind=kind,
        confidence=confidence,
        x=float(row["x"]) * _SCALE + random.gauss(0, mistakes.jitter_px),
        y=float(row["y"]) * _SCALE + random.gauss(0, mistakes.jitter_px),
        width=float(row["width"]) * _SCALE,
        height=float(row["height"]) * _SCALE,
        position=position if abs(position) < UNKNOWN_POSITION - 2 else 0,
        position_confidence=_CERTAIN,
        durations=_log_probabilities(duration, 7) if timed else (0.0,) * 7,
        dots=_log_probabilities(dots, 3) if timed else (0.0,) * 3,
        stem=_log_probabilities(int(row["stem"]), 3),
        tuplet=_log_probabilities(int(row["tuplet"]), 3),
        grace=float(row["grace"] == 1),
        tied_back=_CERTAIN if row["tied_back"] == 1 else 1 - _CERTAIN,
        tied_on=_CERTAIN if row["tied_on"] == 1 else 1 - _CERTAIN,
    )


def _invented(page: EngravedPage, random: Random) -> Symbol:
    """A symbol of the page once more, somewhere else."""
    row = random.choice(page.symbols).copy()
    row["x"] = random.uniform(0, page.image.shape[1])
    row["y"] += random.uniform(-3, 3) * ENGRAVED_SPACE_PX
    symbol = _symbol(row, Mistakes(), random)
    return Symbol(**{**_fields(symbol), "confidence": random.uniform(0.3, 0.6)})


def _fields(symbol: Symbol) -> dict[str, object]:
    return {name: getattr(symbol, name) for name in Symbol.__slots__}


def _log_probabilities(index: int, count: int) -> tuple[float, ...]:
    if not 0 <= index < count:
        index = 0
    rest = (1 - _CERTAIN) / (count - 1)
    return tuple(float(np.log(_CERTAIN if i == index else rest)) for i in range(count))
