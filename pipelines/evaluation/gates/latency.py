"""Whether a candidate answers about as fast as the champion: both timed in turn, in one process."""

from __future__ import annotations

import time
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from pipelines.evaluation.gates.models import ModelFiles, open_session
from pipelines.evaluation.gates.suites import Suite
from pipelines.evaluation.gates.verdicts import Budgets, Finding

#: The median of so many ratios lies between the second lowest and the second highest with a probability of
#: 96 %, whatever their distribution.
_ROUNDS: Final = 9


def latency(suite: Suite, champion: ModelFiles, candidate: ModelFiles, budgets: Budgets) -> list[Finding]:
    """Time both models on the same input: CPU seconds of one thread, which other work hardly disturbs."""
    sessions = [open_session(files.onnx) for files in (champion, candidate)]
    given = suite.inputs(suite.timed_batch)
    for session in sessions:
        _seconds(suite, session, given)
    rounds = []
    for number in range(_ROUNDS):
        order = (0, 1) if number % 2 else (1, 0)
        took = {index: _seconds(suite, sessions[index], given) for index in order}
        rounds.append((took[0], took[1]))
    before, after = np.median(rounds, axis=0)
    ratios = np.sort([mine / theirs for theirs, mine in rounds])
    ratio, low, high = float(np.median(ratios)), float(ratios[1]), float(ratios[-2])
    figures = {
        "ratio": ratio,
        "ratio_low": low,
        "ratio_high": high,
        "champion_s": float(before),
        "candidate_s": float(after),
        "budget_ratio": budgets.latency_ratio,
    }
    text = (
        f"A call takes {after * 1000:.0f} ms of CPU, the champion's {before * 1000:.0f} ms: {ratio:.2f} "
        f"times as long ({low:.2f} to {high:.2f} with 96 % confidence); {budgets.latency_ratio:g} is allowed."
    )
    return [Finding("latency", low <= budgets.latency_ratio, text, figures)]


def _seconds(suite: Suite, session: onnxruntime.InferenceSession, given: NDArray[Any]) -> float:
    began = time.thread_time()
    session.run(None, {suite.contract.inputs[0].name: given})
    return time.thread_time() - began
