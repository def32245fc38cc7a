"""Two ways of having pages read: by the steps in this process, for a quick look, or by the service."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.cache import cache_folder
from pipelines.release.served import ContextModel, SymbolsModel
from services.client import Copyist
from services.client.pages import Box as ClientBox
from services.music.musicxml import write_musicxml
from services.omr import tiles
from services.omr.assembly import RecognisedPage, Recognition, assemble
from services.omr.assembly.recognition import Box
from services.omr.context import reread, windows_of
from services.omr.contract import CONTEXT, SCORE, SYMBOLS
from services.omr.overlay import overlay_png
from services.omr.palette import ColourBy
from services.omr.steps import TileModel, made_ready, recognised
from services.omr.symbols import least_scores
from services.omr.uploads import PageLimits, PagePicture, find_pages, read_colours, read_page
from services.runtime.cards import read_card
from services.triton.environment import REPOSITORY_ROOT

MODEL_REPOSITORY: Final = REPOSITORY_ROOT / "model_repository"

_FORMATS: Final = ("musicxml", "overlay")

#: Candidates less likely than this are not worth remembering.
_LEAST_REMEMBERED: Final = 0.02
_MODELS_REMEMBERED: Final = 3


@dataclass(frozen=True, slots=True)
class PageFigures:
    """What was found on one page.

    Attributes:
        systems, staves: how many.
        measures: box of each of its measures, in px of the page, by the measure's index in the score.
        adding_up: how many of these add up.
        overlay: the coloured page, a PNG.
    """

    systems: int
    staves: int
    measures: Mapping[int, Box | ClientBox]
    adding_up: int
    overlay: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What was read of one work; `musicxml` is None where no staves were found."""

    musicxml: bytes | None
    pages: tuple[PageFigures, ...]
    seconds: float


Reader = Callable[[Sequence[Path]], Answer]


class RememberedModel:
    """A `TileModel` that keeps what it has answered, so that steps behind it can be tried again at once.

    Answers lie in the cache under the digest of the model; those of the few models used last are kept.
    """

    def __init__(self, model: TileModel, file: Path) -> None:
        self._model = model
        digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
        self._folder = cache_folder("evaluation", "tiles", digest)
        self._folder.touch()
        models = sorted(self._folder.parent.iterdir(), key=lambda folder: folder.stat().st_mtime)
        for stale in models[:-_MODELS_REMEMBERED]:
            shutil.rmtree(stale, ignore_errors=True)

    def __call__(self, tile: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Read a tile, or remember what was read of it."""
        path = self._folder / f"{hashlib.sha256(tile.tobytes()).hexdigest()[:32]}.npz"
        if path.exists():
            with np.load(path) as kept:
                return kept["candidates"], kept["staves"]
        candidates, staves = self._model(tile)
        likely = candidates[candidates[:, SCORE] >= _LEAST_REMEMBERED]
        part = path.with_suffix(".part.npz")
        np.savez_compressed(part, candidates=likely, staves=staves)
        part.replace(path)
        return likely, staves


class LocalReader:
    """Reads pages by the steps in this process."""

    def __init__(
        self, model: TileModel, least_scores: NDArray[np.float32], context: ContextModel | None
    ) -> None:
        """Make a reader.

        Args:
            model: the `symbols` model.
            least_scores: float32 [classes], how sure it must be of each class.
            context: the `context` model, None to do without.
        """
        self._model = model
        self._least_scores = least_scores
        self._context = context

    def __call__(self, files: Sequence[Path]) -> Answer:
        """Read the pages of one work."""
        start = time.perf_counter()
        places = find_pages(files, PageLimits())
        recognition = assemble([self.look(read_page(place)) for place in places])
        musicxml = write_musicxml(recognition.score) if recognition.score else None
        seconds = time.perf_counter() - start
        overlays = [
            overlay_png(read_colours(place), recognition, index, ColourBy.PITCH)
            for index, place in enumerate(places)
        ]
        return Answer(musicxml, _figures(recognition, overlays), seconds)

    def look(self, picture: PagePicture) -> RecognisedPage:
        """Find the symbols and systems of a page."""
        page, placed = made_ready(picture)
        stitcher = tiles.Stitcher(page.image.shape, placed, self._least_scores)
        for index, tile in enumerate(placed):
            stitcher.put(index, *self._model(tiles.cut(page.image, tile)))
        seen = recognised(page, stitcher)
        if self._context is None or not seen.symbols:
            return seen
        windows, tensors = windows_of(seen)
        if not windows:
            return seen
        return replace(seen, symbols=reread(seen.symbols, windows, self._context(tensors)))


def local_reader(file: Path | None = None, *, with_context: bool = True) -> LocalReader:
    """A reader with models of its own.

    Args:
        file: of the `symbols` model, by default the released one; thresholds are the released card's.
        with_context: whether symbols are reread in context, where that model is released.
    """
    if file is None:
        file, model = MODEL_REPOSITORY / SYMBOLS.model / "1" / "model.onnx", SymbolsModel.released()
    else:
        model = SymbolsModel.opened(file)
    scores = least_scores(read_card(MODEL_REPOSITORY, SYMBOLS.model))
    released = with_context and read_card(MODEL_REPOSITORY, CONTEXT.model)
    context = ContextModel.released() if released else None
    return LocalReader(RememberedModel(model, file), scores, context)


class ServiceReader:
    """Has pages read by the page service at a URL."""

    def __init__(self, url: str) -> None:
        self._copyist = Copyist(url)

    def __call__(self, files: Sequence[Path]) -> Answer:
        """Read the pages of one work; seconds are those of the whole call."""
        start = time.perf_counter()
        seen = self._copyist.recognize(files, formats=["musicxml", "overlay"])
        seconds = time.perf_counter() - start
        made = {each: [file.content for file in seen.files if file.format == each] for each in _FORMATS}
        index = 0
        figures = []
        for page, overlay in zip(seen.pages, made["overlay"], strict=True):
            measures = [measure for system in page.systems for measure in system.measures]
            figures.append(
                PageFigures(
                    systems=len(page.systems),
                    staves=sum(len(system.staves) for system in page.systems),
                    measures={index + number: each.box for number, each in enumerate(measures)},
                    adding_up=sum(measure.adds_up for measure in measures),
                    overlay=overlay,
                )
            )
            index += len(measures)
        return Answer(made["musicxml"][0] if made["musicxml"] else None, tuple(figures), seconds)


def _figures(recognition: Recognition, overlays: Sequence[bytes]) -> tuple[PageFigures, ...]:
    figures = []
    for page, overlay in zip(recognition.pages, overlays, strict=True):
        measures = [measure for system in page.systems for measure in system.measures]
        figures.append(
            PageFigures(
                systems=len(page.systems),
                staves=sum(len(system.staves) for system in page.systems),
                measures={measure.index: measure.box for measure in measures},
                adding_up=sum(measure.adds_up for measure in measures),
                overlay=overlay,
            )
        )
    return tuple(figures)
