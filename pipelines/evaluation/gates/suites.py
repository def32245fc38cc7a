"""How the versions of each model are judged: test sets, measures, and what their answers are compared by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from numpy.typing import NDArray

from pipelines.evaluation.gates import context, piano, recordings, symbols
from pipelines.evaluation.gates.fixed_sets import FixedSet, Piece
from pipelines.evaluation.gates.models import ModelFiles, NoModelError
from services.amt import profile as recording_profile
from services.amt.contract import PIANO
from services.amt.notes import DecodingThresholds
from services.omr import profile as page_profile
from services.omr.contract import CONTEXT, SYMBOLS
from services.omr.vocabulary import CLASSES
from services.runtime.contract import ModelContract
from services.runtime.profiles import Edges

Judge = Callable[[Piece[Any]], Mapping[str, float]]
Answer = Sequence[NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Suite:
    """How the versions of one model are judged.

    Attributes:
        contract: its tensors.
        edges: bins of the profile that its card must hold; None where it holds none.
        thresholds_needed, thresholds_known: those that its card must name, and may name besides.
        fixed_sets: the test sets for a limit on their pieces, and a sentence for each that is left out.
        judge_of: a version as a judge of pieces: measures by name.
        inputs: so many real inputs, [count, ...], no two alike.
        apart: how far two answers to one input lie apart, in `unit`s.
        tolerance: how far they may.
        unit: of both.
        timed_batch: rows of the call that is timed, as services usually make it.
        splits: how a version agrees with itself where its input is split in other places: `agreement`, the F1
            of what it finds, and `difference`, the mean difference of its posteriors in steps of 1/255; None
            where nothing is split.
        split_difference: how large that difference may be.
    """

    contract: ModelContract
    edges: Edges | None
    thresholds_needed: frozenset[str]
    thresholds_known: frozenset[str]
    fixed_sets: Callable[[int | None], tuple[list[FixedSet[Any]], list[str]]]
    judge_of: Callable[[ModelFiles], Judge]
    inputs: Callable[[int], NDArray[Any]]
    apart: Callable[[Answer, Answer], float]
    tolerance: float
    unit: str
    timed_batch: int = 1
    splits: Callable[[ModelFiles], dict[str, float]] | None = None
    split_difference: float = 0.0


SUITES: Final[Mapping[str, Suite]] = {
    PIANO.model: Suite(
        contract=PIANO,
        edges=recording_profile.EDGES,
        thresholds_needed=frozenset(field.name for field in fields(DecodingThresholds)),
        thresholds_known=frozenset(),
        fixed_sets=recordings.fixed_sets,
        judge_of=piano.judge_of,
        inputs=piano.inputs,
        apart=piano.apart,
        tolerance=1.0,
        unit="steps of 1/255",
        splits=piano.splits,
        split_difference=1.0,
    ),
    SYMBOLS.model: Suite(
        contract=SYMBOLS,
        edges=page_profile.EDGES,
        thresholds_needed=frozenset({"default"}),
        thresholds_known=frozenset(kind.value for kind in CLASSES),
        fixed_sets=symbols.fixed_sets,
        judge_of=symbols.judge_of,
        inputs=symbols.inputs,
        apart=symbols.apart,
        tolerance=0.005,
        unit="px or shares",
        splits=symbols.splits,
        split_difference=6.0,
    ),
    CONTEXT.model: Suite(
        contract=CONTEXT,
        edges=None,
        thresholds_needed=frozenset(),
        thresholds_known=frozenset(),
        fixed_sets=context.fixed_sets,
        judge_of=context.judge_of,
        inputs=context.inputs,
        apart=context.apart,
        tolerance=0.001,
        unit="probabilities or their logarithms",
        timed_batch=8,
    ),
}


def suite_of(model: str) -> Suite:
    """How the versions of a model are judged.

    Raises:
        NoModelError: there is no such model.
    """
    if model not in SUITES:
        raise NoModelError(f"There is no model {model!r}.", remedy=f"The models are {', '.join(SUITES)}.")
    return SUITES[model]
