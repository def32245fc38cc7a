"""Two models on the same pieces: where one is better or worse, and how sure that is.

Every measure over every test set and each of its slices is a cell: the mean, over the pieces of the slice,
of the candidate's measure less the champion's on the very same piece. Cells are many and overlap, so the
intervals are simultaneous: the quantile that widens them is that of the largest studentised deviation over
all cells at once (Romano and Wolf 2005, *Stepwise multiple testing*), which bounds the chance of any false
alarm. Its distribution is that of the paired wild bootstrap over pieces (Liu 1988; Mammen 1993): each piece's
deviations from the means, in all cells at once, keep or change their sign by chance, which keeps together
what belongs together and, unlike drawing pieces anew, leaves no cell without pieces.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.gates.evaluations import Evaluation
from services.errors import CopyistError

#: Slice that stands for a whole test set.
WHOLE: Final = "all"
#: Slices of fewer pieces are shown with the others but not judged: too few to estimate a spread.
FEWEST_PIECES: Final = 8
_RESAMPLES: Final = 2000
_SEED: Final = 20_261_121
_NOTHING: Final = 1e-12

Floats = NDArray[np.float64]


class IncomparableError(CopyistError):
    """Two evaluations that are not of the same model's versions on the same pieces."""

    slug = "incomparable-evaluations"
    title = "The evaluations cannot be compared"


@dataclass(frozen=True, slots=True)
class Difference:
    """The candidate beside the champion in one cell.

    Attributes:
        test_set: its name.
        slice: what is told apart, such as `polyphony`; `all` for the whole test set.
        value: which pieces, such as `thick`; `all` for the whole test set.
        measure: what was measured.
        pieces: how many pieces.
        champion, candidate: means of the measure, 0 to 1.
        difference: candidate less champion.
        error: standard error of the difference.
        low, high: interval of the difference, simultaneous over all judged cells.
        judged: whether there were pieces enough; where not, the interval means little.
    """

    test_set: str
    slice: str
    value: str
    measure: str
    pieces: int
    champion: float
    candidate: float
    difference: float
    error: float
    low: float
    high: float
    judged: bool

    @property
    def where(self) -> str:
        """The cell in words: `held-out, polyphony thick`."""
        return self.test_set if self.slice == WHOLE else f"{self.test_set}, {self.slice} {self.value}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """The candidate beside the champion in every cell.

    Attributes:
        model: its name.
        champion, candidate: digests (`Evaluation.digest`).
        confidence: with which no judged cell's true difference lies above `high`; and none below `low`.
        differences: whole test sets first, then slice by slice.
    """

    model: str
    champion: str
    candidate: str
    confidence: float
    differences: tuple[Difference, ...]

    def encode(self) -> str:
        """Write as JSON."""
        return json.dumps(asdict(self), indent=1) + "\n"


@dataclass(frozen=True, slots=True)
class _Cells:
    """All cells at once, N pieces and C cells.

    Attributes:
        names: test set, slice, value and measure of each.
        champion, candidate: float [N, C], 0 where a piece does not count.
        counts: float [N, C], 1 where a piece counts in a cell.
    """

    names: list[tuple[str, str, str, str]]
    champion: Floats
    candidate: Floats
    counts: Floats


def compare(
    champion: Sequence[Evaluation], candidate: Sequence[Evaluation], false_alarm: float = 0.05
) -> Comparison:
    """Compare two versions of a model on the same test sets.

    Args:
        champion, candidate: one evaluation a test set, in the same order.
        false_alarm: the chance that any judged interval lies wholly below the true difference; and that any
            lies above it.

    Raises:
        IncomparableError: they are not of one model, of the same test sets and of the same pieces.
    """
    _check(champion, candidate)
    cells = _cells(champion, candidate)
    pieces = cells.counts.sum(0)
    differences = cells.candidate - cells.champion
    means = differences.sum(0) / pieces
    deviations = (differences - means) * cells.counts
    squares = (deviations**2).sum(0)
    errors = np.sqrt(squares / (pieces * np.maximum(pieces - 1, 1)))
    judged = pieces >= FEWEST_PIECES
    widening = _widening(deviations[:, judged], pieces[judged], false_alarm)
    told = [
        Difference(
            *name,
            pieces=int(n),
            champion=float(one),
            candidate=float(other),
            difference=float(mean),
            error=float(error),
            low=float(mean - widening * error),
            high=float(mean + widening * error),
            judged=bool(sure),
        )
        for name, n, one, other, mean, error, sure in zip(
            cells.names,
            pieces,
            cells.champion.sum(0) / pieces,
            cells.candidate.sum(0) / pieces,
            means,
            errors,
            judged,
            strict=True,
        )
    ]
    return Comparison(
        champion[0].model, champion[0].digest, candidate[0].digest, 1 - false_alarm, tuple(told)
    )


def _widening(deviations: Floats, pieces: Floats, false_alarm: float) -> float:
    """By how many standard errors the intervals reach to either side.

    Args:
        deviations: float [N, C], of each piece from its cell's mean, 0 where it does not count.
        pieces: float [C], how many count in each cell.
        false_alarm: see `compare`.
    """
    if not deviations.size:
        return 0.0
    random = np.random.default_rng(_SEED)
    squares = (deviations**2).sum(0)
    spread = squares > _NOTHING
    signs = random.choice([-1.0, 1.0], (_RESAMPLES, len(deviations)))
    means = signs @ deviations[:, spread] / pieces[spread]
    # Signs leave the sum of squares as it is, so the standard error of a resample follows from its mean.
    variances = np.maximum(squares[spread] / pieces[spread] - means**2, _NOTHING) / (pieces[spread] - 1)
    largest = (means / np.sqrt(variances)).max(1, initial=0.0)
    return float(np.quantile(largest, 1 - false_alarm))


def _check(champion: Sequence[Evaluation], candidate: Sequence[Evaluation]) -> None:
    if not champion or len(champion) != len(candidate):
        raise IncomparableError(
            f"{len(champion)} test sets of the champion, {len(candidate)} of the candidate."
        )
    for one, other in zip(champion, candidate, strict=True):
        if (one.model, one.test_set) != (other.model, other.test_set):
            raise IncomparableError(
                f"{one.model} on {one.test_set} cannot be compared with {other.model} on {other.test_set}."
            )
        if one.test_set_digest != other.test_set_digest or [p.name for p in one.pieces] != [
            p.name for p in other.pieces
        ]:
            raise IncomparableError(
                f"{one.model} was evaluated on two different states of the test set {one.test_set}.",
                remedy="Evaluate the champion and the candidate anew, with the same limit.",
            )


def _cells(champion: Sequence[Evaluation], candidate: Sequence[Evaluation]) -> _Cells:
    total = sum(len(evaluation.pieces) for evaluation in champion)
    names: list[tuple[str, str, str, str]] = []
    columns: list[tuple[Floats, Floats, Floats]] = []
    first = 0
    for one, other in zip(champion, candidate, strict=True):
        for kind, value, measure in _kinds(one):
            before, after, counts = np.zeros((3, total))
            for index, (mine, theirs) in enumerate(zip(one.pieces, other.pieces, strict=True), first):
                belongs = kind == WHOLE or mine.slices.get(kind) == value
                if belongs and measure in mine.measures and measure in theirs.measures:
                    before[index], after[index] = mine.measures[measure], theirs.measures[measure]
                    counts[index] = 1
            if counts.any():
                names.append((one.test_set, kind, value, measure))
                columns.append((before, after, counts))
        first += len(one.pieces)
    if not columns:
        raise IncomparableError("The evaluations have no measure in common.")
    before, after, counts = (np.stack(each, 1) for each in zip(*columns, strict=True))
    return _Cells(names, before, after, counts)


def _kinds(evaluation: Evaluation) -> Iterator[tuple[str, str, str]]:
    """Slice, value and measure of each cell of a test set, the whole first."""
    measures = list(dict.fromkeys(m for piece in evaluation.pieces for m in piece.measures))
    values = sorted({(kind, value) for piece in evaluation.pieces for kind, value in piece.slices.items()})
    for kind, value in [(WHOLE, WHOLE), *values]:
        for measure in measures:
            yield kind, value, measure
