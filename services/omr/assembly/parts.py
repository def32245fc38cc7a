"""Parts: which staff of the score each staff of a system is, where some systems leave staves out.

The system with the most staves tells what the score has. A system with fewer is laid over it in order, so
that clefs agree and parts stay whole: a song's piano is found again where the singer is silent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from services.music.score import Clef

_CLEF_AGREES: Final = 1.0
_PART_SPLIT: Final = 2.0
_MOST_CHOICES: Final = 5000


@dataclass(frozen=True, slots=True)
class SystemShape:
    """What is known of a system's staves before its music is read.

    Attributes:
        groups: first and last index of the staves of each part, as `System.groups`.
        clefs: the clef printed at the start of each staff, None where none is.
    """

    groups: tuple[tuple[int, int], ...]
    clefs: tuple[Clef | None, ...]


@dataclass(frozen=True, slots=True)
class Parts:
    """The staves of the score.

    Attributes:
        groups: first and last staff of each part, counted over the whole score.
        staves: for each system, the score's staff that each of its staves is.
    """

    groups: tuple[tuple[int, int], ...]
    staves: tuple[tuple[int, ...], ...]

    def part_of(self, staff: int) -> tuple[int, int]:
        """Index of the part that a staff of the score belongs to, and its number in the part from 1."""
        for part, (first, last) in enumerate(self.groups):
            if first <= staff <= last:
                return part, staff - first + 1
        raise IndexError(staff)


def align_parts(shapes: Sequence[SystemShape]) -> Parts:
    """The parts of the score, and where each system's staves lie in it.

    Args:
        shapes: at least one system, each of at least one staff.
    """
    most = max(len(shape.clefs) for shape in shapes)
    fullest = [shape for shape in shapes if len(shape.clefs) == most]
    groups = Counter(shape.groups for shape in fullest).most_common(1)[0][0]
    clefs = [_usual(shape.clefs[staff] for shape in fullest) for staff in range(most)]
    staves = tuple(_lay_over(shape, groups, clefs) for shape in shapes)
    return Parts(groups, staves)


def _usual(clefs: object) -> Clef | None:
    seen = Counter(clef for clef in clefs if clef is not None)  # type: ignore[attr-defined]
    return seen.most_common(1)[0][0] if seen else None


def _lay_over(
    shape: SystemShape, groups: Sequence[tuple[int, int]], clefs: Sequence[Clef | None]
) -> tuple[int, ...]:
    """The score's staff for each staff of a system."""
    count = len(shape.clefs)
    if count == len(clefs):
        return tuple(range(count))
    best: tuple[int, ...] = tuple(range(count))
    best_score = float("-inf")
    for tried, choice in enumerate(combinations(range(len(clefs)), count)):
        if tried >= _MOST_CHOICES:
            break
        agree = sum(
            _CLEF_AGREES
            for mine, staff in zip(shape.clefs, choice, strict=True)
            if mine and mine == clefs[staff]
        )
        split = sum(
            _PART_SPLIT
            for first, last in groups
            if 0 < len(set(choice) & {*range(first, last + 1)}) <= last - first
        )
        together = sum(
            _PART_SPLIT
            for first, last in shape.groups
            if not any(a <= choice[first] and choice[last] <= b for a, b in groups)
        )
        score = agree - split - together
        # Of equals the lowest staves: what is left out is most often at the top.
        if score >= best_score:
            best, best_score = choice, score
    return best
