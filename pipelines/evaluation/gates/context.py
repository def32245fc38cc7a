"""How the `context` model is judged: lines of music whose symbols the released `symbols` model has found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.gates.evaluations import model_digest
from pipelines.evaluation.gates.fixed_sets import FixedSet, Piece
from pipelines.evaluation.gates.lines import Line, fixed_set
from pipelines.evaluation.gates.models import REPOSITORY, ModelFiles, open_session
from pipelines.evaluation.gates.reading import as_read, note_f1, symbol_measures, voice_share
from pipelines.evaluation.gates.symbols import demo_page, in_context, reader_of
from pipelines.evaluation.omr_readers import RememberedModel
from pipelines.release.served import ContextModel, SymbolsModel
from pipelines.training.context.matching import voices_of
from services.omr.assembly import assemble
from services.omr.assembly.recognition import RecognisedPage
from services.omr.context import windows_of
from services.omr.contract import CONTEXT_FIELDS, SEQUENCE, SYMBOLS
from services.omr.page import PreparedPage

#: How far the fields of a staff are moved to make another one of it.
_STIR: Final = 0.01


def judge_of(files: ModelFiles) -> Callable[[Piece[Line]], Mapping[str, float]]:
    """Measures of a line by this version: the symbols that it keeps, the voices that it tells, the notes."""
    context = ContextModel(open_session(files.onnx))
    read = _released_symbols()

    def measures(piece: Piece[Line]) -> Mapping[str, float]:
        page = piece.content.page
        seen = in_context(read(as_read(page)), context)
        told = {
            "notes": note_f1(page, assemble([seen])),
            "symbols": symbol_measures(page, seen.symbols)["symbols"],
            "voices": voice_share(page, seen.symbols, voices_of(page.symbols)),
        }
        return {name: value for name, value in told.items() if value is not None}

    return measures


def fixed_sets(limit: int | None) -> tuple[list[FixedSet[Line]], list[str]]:
    """The test sets that this machine has, and a sentence for each that is left out."""
    symbols = ModelFiles.of(REPOSITORY / SYMBOLS.model)
    found, skipped = fixed_set(limit, asked=model_digest(symbols.onnx, symbols.card))
    return [found], skipped


def inputs(count: int) -> NDArray[np.float32]:
    """Staves of a page, float32 [count, SEQUENCE, CONTEXT_FIELDS], no two alike."""
    staves = _demo_staves()
    random = np.random.default_rng(5)
    rows = [staves]
    while sum(map(len, rows)) < count:
        stirred = staves * (1 + _STIR * random.standard_normal((len(staves), 1, 1)))
        stirred[..., 1], stirred[..., -1] = staves[..., 1], staves[..., -1]
        rows.append(stirred.astype(np.float32))
    chosen = np.concatenate(rows)[:count]
    return chosen.reshape(count, SEQUENCE, CONTEXT_FIELDS)


@cache
def _demo_staves() -> NDArray[np.float32]:
    """The staves of the page that ships with the client, as the released `symbols` model reads them."""
    return windows_of(_released_symbols()(demo_page()))[1]


def apart(one: Sequence[NDArray[np.float32]], other: Sequence[NDArray[np.float32]]) -> float:
    """The largest difference between two answers, in probabilities and, beyond -1, shares of logarithms."""
    return float((np.abs(one[0] - other[0]) / np.maximum(1, np.abs(one[0]))).max())


def _released_symbols() -> Callable[[PreparedPage], RecognisedPage]:
    """The released `symbols` model as a reader that remembers what it has read."""
    files = ModelFiles.of(REPOSITORY / SYMBOLS.model)
    return reader_of(files, RememberedModel(SymbolsModel(open_session(files.onnx)), files.onnx))
