"""How the `symbols` model is judged: lines of music read as the page service reads pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.gates.evaluations import model_digest
from pipelines.evaluation.gates.fixed_sets import FixedSet, Piece
from pipelines.evaluation.gates.lines import Line, fixed_set
from pipelines.evaluation.gates.models import REPOSITORY, ModelFiles, open_session
from pipelines.evaluation.gates.reading import agreement, as_read, note_f1, symbol_measures
from pipelines.release.served import ContextModel, SymbolsModel
from services.omr import tiles
from services.omr.assembly import assemble
from services.omr.assembly.recognition import RecognisedPage
from services.omr.context import reread, windows_of
from services.omr.contract import CONTEXT, SCORE, TILE_PX
from services.omr.page import PreparedPage
from services.omr.steps import TileModel, find_symbols, recognised
from services.omr.straighten import prepare
from services.omr.symbols import least_scores
from services.omr.uploads import PagePicture

#: A page that ships with the client.
PAGE: Final = Path(__file__).parents[3] / "services" / "client" / "samples" / "demo-page.png"
#: Paper added above and to the left of it, in px of the prepared page: its tiles' edges lie elsewhere then.
#: Candidates below this score may come in another order or not at all.
_SURE: Final = 0.05
#: One step of 1/255 in what is told of staves is rounding, and counts as much as may differ elsewhere.
_STAVES_STEP: Final = 0.005
_SHIFTS: Final = ((160, 64), (96, 208))


def judge_of(files: ModelFiles) -> Callable[[Piece[Line]], Mapping[str, float]]:
    """Measures of a line by this version, and of its notes with the released `context` model behind it."""
    read = reader_of(files)
    context = ContextModel(open_session(_context().onnx))

    def measures(piece: Piece[Line]) -> Mapping[str, float]:
        page = piece.content.page
        seen = read(as_read(page))
        found = symbol_measures(page, seen.symbols)
        notes = note_f1(page, assemble([in_context(seen, context)]))
        return found if notes is None else {"notes": notes, **found}

    return measures


def reader_of(files: ModelFiles, model: TileModel | None = None) -> Callable[[PreparedPage], RecognisedPage]:
    """A version as a reader of prepared pages: their symbols and systems.

    Args:
        files: of the version; its card says how sure it must be.
        model: answers in the version's place, if it is given.
    """
    model = model or SymbolsModel(open_session(files.onnx))
    scores = least_scores(files.card)

    def read(page: PreparedPage) -> RecognisedPage:
        placed = tiles.place(page.image)
        stitcher = tiles.Stitcher(page.image.shape, placed, scores)
        for index, tile in enumerate(placed):
            stitcher.put(index, *model(tiles.cut(page.image, tile)))
        return recognised(page, stitcher)

    return read


def fixed_sets(limit: int | None) -> tuple[list[FixedSet[Line]], list[str]]:
    """The test sets that this machine has, and a sentence for each that is left out."""
    context = _context()
    found, skipped = fixed_set(limit, asked=model_digest(context.onnx, context.card))
    return [found], skipped


def in_context(seen: RecognisedPage, context: ContextModel) -> RecognisedPage:
    """A page, its symbols reread by the `context` model."""
    windows, tensors = windows_of(seen)
    if not windows:
        return seen
    return replace(seen, symbols=reread(seen.symbols, windows, context(tensors)))


def inputs(count: int) -> NDArray[np.uint8]:
    """Some tiles of a page, uint8 [count, TILE_PX, TILE_PX], no two alike."""
    image = demo_page().image
    step = max(8, (image.shape[0] - TILE_PX) * (image.shape[1] - TILE_PX) // (count * TILE_PX))
    places = [
        (top, left)
        for top in range(0, image.shape[0] - TILE_PX, step)
        for left in range(0, image.shape[1] - TILE_PX, step)
    ]
    every = max(1, len(places) // count)
    return np.stack([image[y : y + TILE_PX, x : x + TILE_PX] for y, x in places[::every][:count]])


def apart(one: Sequence[NDArray[Any]], other: Sequence[NDArray[Any]]) -> float:
    """The largest difference between two answers, in px and shares; of staves, in steps of 1/255 of 0.005.

    Candidates of nearly equal scores may change places: each sure one is compared with whichever of the other
    answer's is most like it.
    """
    worst = float(np.abs(one[1].astype(int) - other[1]).max()) * _STAVES_STEP
    distances = (np.abs(one[0][:, None] - other[0]) / np.maximum(1, np.abs(one[0][:, None]))).max(2)
    for candidates, nearest in ((one[0], distances.min(1)), (other[0], distances.min(0))):
        worst = max(worst, float(nearest[candidates[:, SCORE] > _SURE].max(initial=0.0)))
    return worst


def splits(files: ModelFiles) -> dict[str, float]:
    """Read one page with its tiles' edges in several places.

    Returns:
        `agreement`: the least F1 between the symbols found in two ways, by class and place; `difference`: the
        largest mean difference of the confidence in them, in units of 1/255.
    """
    model = SymbolsModel(open_session(files.onnx))
    page, scores = demo_page(), least_scores(files.card)
    first, _ = find_symbols(page, model, scores)
    alike = []
    for down, right in _SHIFTS:
        # Ink in the corner, lest the tiles move along with the page.
        image = cv2.copyMakeBorder(page.image, down, 0, right, 0, cv2.BORDER_CONSTANT, value=255)
        image[:4, :4] = 0
        moved, _ = find_symbols(replace(page, image=image), model, scores)
        back = [replace(symbol, x=symbol.x - right, y=symbol.y - down) for symbol in moved]
        alike.append(agreement(first, back))
    agreements, differences = zip(*alike, strict=True)
    return {"agreement": min(agreements), "difference": 255 * max(differences)}


def _context() -> ModelFiles:
    return ModelFiles.of(REPOSITORY / CONTEXT.model)


@cache
def demo_page() -> PreparedPage:
    """The page that ships with the client, prepared."""
    image = cv2.imread(str(PAGE), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise FileNotFoundError(PAGE)
    picture = PagePicture(np.asarray(image, np.uint8), width=image.shape[1], height=image.shape[0], dpi=None)
    return picture.in_upload_px(prepare(picture.image))
