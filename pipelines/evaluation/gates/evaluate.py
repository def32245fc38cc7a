"""Evaluates a version of a model on all fixed test sets that this machine has."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from pipelines.cache import cache_folder
from pipelines.evaluation.gates.evaluations import Evaluation, PieceScores, model_digest
from pipelines.evaluation.gates.fixed_sets import FixedSet
from pipelines.evaluation.gates.models import ModelFiles
from pipelines.evaluation.gates.suites import suite_of

_ROOT: Final = Path(__file__).parents[3]
#: Code that decides what is measured of a model's answers.
_MEASURING: Final = (
    "services/amt/*.py",
    "services/omr/**/*.py",
    "pipelines/evaluation/note_measures.py",
    *(f"pipelines/evaluation/gates/{name}.py" for name in ("piano", "symbols", "context", "reading")),
)


def evaluate_all(model: str, folder: Path, limit: int | None = None) -> tuple[Evaluation, ...]:
    """Evaluate a version on all test sets that this machine has.

    What was found is kept in the cache, and evaluated anew only where the model, its thresholds, the test set
    or the code that measures has changed.

    Args:
        model: its name.
        folder: of the version, with `model.onnx` and `card.json`.
        limit: the most pieces of a test set; None for all, and real music too.

    Raises:
        NoModelError: no such model, or no version in the folder.
    """
    suite, files = suite_of(model), ModelFiles.of(folder)
    sets, _ = suite.fixed_sets(limit)
    return tuple(evaluate(model, files.onnx, files.card, fixed) for fixed in sets)


def evaluate(model: str, onnx: Path, card: Mapping[str, Any], test_set: FixedSet[Any]) -> Evaluation:
    """Evaluate a version on one test set, or remember what was found before."""
    digest = model_digest(onnx, card)
    key = hashlib.sha256(f"{model} {digest} {test_set.digest} {_code_digest()}".encode()).hexdigest()
    kept = cache_folder("evaluation", "gates") / f"{key}.json"
    if kept.exists():
        return Evaluation.decode(kept.read_text("utf-8"))
    judge = suite_of(model).judge_of(ModelFiles(onnx, card))
    pieces = tqdm(test_set.pieces, desc=f"{model} on {test_set.name}", unit="piece", mininterval=10)
    scores = tuple(PieceScores(piece.name, piece.slices, judge(piece)) for piece in pieces)
    evaluation = Evaluation(model, digest, test_set.name, test_set.digest, scores)
    partial = kept.with_suffix(".partial")
    partial.write_text(evaluation.encode(), "utf-8")
    partial.replace(kept)
    return evaluation


def _code_digest() -> str:
    digest = hashlib.sha256()
    for pattern in _MEASURING:
        for path in sorted(_ROOT.glob(pattern)):
            digest.update(path.read_bytes())
    return digest.hexdigest()
