"""Whether an answer depends on nothing but what is asked: not on the batch, nor on where the input is cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from pipelines.evaluation.gates.models import ModelFiles, open_session
from pipelines.evaluation.gates.suites import Suite
from pipelines.evaluation.gates.verdicts import Budgets, Finding

#: Inputs that are asked alone and in every batch.
_ROWS: Final = 4


def batch(suite: Suite, files: ModelFiles) -> list[Finding]:
    """Whether each row is answered as it is alone, in batches of several sizes and at any place in them."""
    session = open_session(files.onnx)
    most = suite.contract.max_batch
    given = suite.inputs(most)
    rows = range(_ROWS)
    alone = [[answer[0] for answer in _ask(suite, session, given[row : row + 1])] for row in rows]
    last = [*range(_ROWS, most), *rows]
    worst, where = 0.0, ""
    for order in ([1, 0], [3, 1, 2], last):
        answers = _ask(suite, session, given[order])
        for place, row in enumerate(order):
            if row in rows:
                apart = suite.apart(alone[row], [answer[place] for answer in answers])
                if apart > worst:
                    worst, where = apart, f"at place {place + 1} in a batch of {len(order)}"
    figures = {"difference": worst, "tolerance": suite.tolerance}
    if worst > suite.tolerance:
        text = (
            f"The same input is answered differently {where}: by {worst:.3g} {suite.unit}; "
            f"{suite.tolerance:g} are allowed. Something in the graph mixes the rows of a batch."
        )
        return [Finding("batch", False, text, figures)]
    text = f"Alone and in batches of 2, 3 and {most} answers differ by at most {worst:.3g} {suite.unit}."
    return [Finding("batch", True, text, figures)]


def split(suite: Suite, files: ModelFiles, budgets: Budgets) -> list[Finding]:
    """Whether what is read does not depend on where chunks or tiles begin; nothing where nothing is split."""
    if suite.splits is None:
        return []
    found = suite.splits(files)
    agreement, difference = found["agreement"], found["difference"]
    limits = {"least_agreement": budgets.split_agreement, "most_difference": suite.split_difference}
    passed = agreement >= budgets.split_agreement and difference <= suite.split_difference
    text = (
        f"Readings of one input, cut in other places, agree by an F1 of {agreement:.3f} "
        f"({budgets.split_agreement:g} is asked), and their posteriors differ by {difference:.2f} steps of "
        f"1/255 in the mean ({suite.split_difference:g} are allowed)."
    )
    return [Finding("split", passed, text, found | limits)]


def _ask(suite: Suite, session: onnxruntime.InferenceSession, given: NDArray[Any]) -> Sequence[NDArray[Any]]:
    names = [tensor.name for tensor in suite.contract.outputs]
    answers: Sequence[NDArray[Any]] = session.run(
        names, {suite.contract.inputs[0].name: np.ascontiguousarray(given)}
    )
    return answers
