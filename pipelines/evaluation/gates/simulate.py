"""Measures by simulation how often the gate `quality` stops models, equal ones and worse ones.

    python -m pipelines.evaluation.gates.simulate PIECES.json --pair A.json B.json [--pair ...]

PIECES holds an evaluation of many pieces: their slices, and how hard they are. Each pair holds evaluations of
two models on the same pieces: by as much as these differ on one of them, two equally good models are made to
differ on a piece, either way by chance, in all measures together. Worse ones lose a little more, everywhere
or in one slice. Printed are shares of all runs, in each of which the pieces are drawn anew.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from pipelines.evaluation.gates.comparison import compare
from pipelines.evaluation.gates.evaluations import Evaluation, PieceScores
from pipelines.evaluation.gates.quality import quality
from pipelines.evaluation.gates.verdicts import BUDGETS, Budgets

#: Falls of every measure.
_FALLS: Final = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05)
_SLICE_FALLS: Final = (0.05, 0.1)
#: No fall is too small, and none needs to be ruled out: what noise alone would stop.
_STRICT: Final = Budgets(loss=0.0, slice_loss=0.0, unproven_loss=1.0)


@dataclass(frozen=True, slots=True)
class World:
    """What the models of a simulation are made of.

    Attributes:
        pieces: to draw from.
        differences: between two models on one piece, by measure.
        scale: how much larger differences are made.
    """

    pieces: Evaluation
    differences: Sequence[Mapping[str, float]]
    scale: float = 1.0

    def equal_pair(self, count: int, random: np.random.Generator) -> tuple[Evaluation, Evaluation]:
        """Two evaluations of models that are equally good, on pieces drawn from all."""
        sides: tuple[list[PieceScores], list[PieceScores]] = ([], [])
        for number, index in enumerate(random.integers(0, len(self.pieces.pieces), count)):
            piece = self.pieces.pieces[index]
            apart = self.differences[random.integers(len(self.differences))]
            far = self.scale * random.choice([-0.5, 0.5])
            for side, way in zip(sides, (far, -far), strict=True):
                moved = {name: value + way * apart.get(name, 0.0) for name, value in piece.measures.items()}
                side.append(replace(piece, name=str(number), measures=moved))
        first, second = (replace(self.pieces, pieces=tuple(side)) for side in sides)
        return first, second


def differences(one: Evaluation, other: Evaluation) -> list[Mapping[str, float]]:
    """By how much two models differ on each piece, by measure."""
    return [
        {
            name: theirs.measures[name] - value
            for name, value in mine.measures.items()
            if name in theirs.measures
        }
        for mine, theirs in zip(one.pieces, other.pieces, strict=True)
    ]


def worse(evaluation: Evaluation, fall: float, only: str | None = None) -> Evaluation:
    """The same with every measure lower by `fall`, of all pieces or of those with the value `only`."""
    pieces = tuple(
        piece
        if only is not None and only not in piece.slices.values()
        else replace(piece, measures={name: value - fall for name, value in piece.measures.items()})
        for piece in evaluation.pieces
    )
    return replace(evaluation, pieces=pieces)


def share_stopped(
    world: World,
    pieces: int,
    runs: int,
    fall: float = 0.0,
    only: str | None = None,
    budgets: Budgets = BUDGETS,
) -> float:
    """Share of the runs in which a candidate that is worse by `fall` is stopped."""
    stopped = 0
    for run in range(runs):
        champion, candidate = world.equal_pair(pieces, np.random.default_rng([13, run]))
        comparison = compare([champion], [worse(candidate, fall, only)], budgets.false_alarm)
        stopped += not all(finding.passed for finding in quality(comparison, budgets))
    return stopped / runs


def table(world: World, sizes: Sequence[int], runs: int, only: str) -> str:
    """The shares for several numbers of pieces, as Markdown."""
    heads = ["candidate", *(f"{size} pieces" for size in sizes)]
    rows = [["equal; budgets of 0", *_shares(world, sizes, runs, budgets=_STRICT)]]
    for fall in _FALLS:
        name = f"worse by {fall:.3f} everywhere" if fall else "equal"
        rows.append([name, *_shares(world, sizes, runs, fall)])
    rows += [
        [f"worse by {fall:.3f} where {only}", *_shares(world, sizes, runs, fall, only)]
        for fall in _SLICE_FALLS
    ]
    lines = [heads, ["---"] + ["---:"] * len(sizes), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _shares(
    world: World,
    sizes: Sequence[int],
    runs: int,
    fall: float = 0.0,
    only: str | None = None,
    budgets: Budgets = BUDGETS,
) -> list[str]:
    return [f"{100 * share_stopped(world, size, runs, fall, only, budgets):.1f} %" for size in sizes]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pieces", type=Path)
    parser.add_argument("--pair", type=Path, nargs=2, action="append", required=True)
    parser.add_argument("--scale", type=float, default=1.0, help="how much larger differences are made")
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--sizes", type=int, nargs="+", default=[24, 96, 240])
    parser.add_argument("--only", default="thick", help="a value of a slice in which a model is worse alone")
    args = parser.parse_args()
    pieces = _read(args.pieces)
    apart = [each for pair in args.pair for each in differences(*map(_read, pair))]
    print(f"stopped, of {args.runs} runs; {pieces.model}, {len(pieces.pieces)} pieces of {pieces.test_set}")
    for measure in pieces.means():
        spread = args.scale * float(np.std([each[measure] for each in apart if measure in each]))
        print(f"{measure}: two models differ on a piece with a standard deviation of {spread:.3f}")
    print(f"\n{table(World(pieces, apart, args.scale), args.sizes, args.runs, args.only)}")


def _read(path: Path) -> Evaluation:
    return Evaluation.decode(path.read_text("utf-8"))


if __name__ == "__main__":
    main()
