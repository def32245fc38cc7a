"""One page read by the models: from its place in an upload to its staves and symbols."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from services.omr.assembly.recognition import RecognisedPage
from services.omr.context import reread, windows_of
from services.omr.look import PageLook, look_at
from services.omr.models import ContextModel, SymbolsModel
from services.omr.steps import made_ready, recognised
from services.omr.uploads import PagePlace, read_page
from services.runtime.work import in_thread, timed

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Versions:
    """Which versions of the models read pages; `context` is None where that model is not released."""

    symbols: str
    context: str | None


@dataclass(frozen=True, slots=True)
class ReadPage:
    """A page that was read.

    Attributes:
        versions: of the models that read it.
        page: what is on it.
        look: how its picture looks.
        timings_s: seconds that each step took, by its name.
    """

    versions: Versions
    page: RecognisedPage
    look: PageLook
    timings_s: Mapping[str, float]


class PageReader:
    """Reads pages with the models in use; what it does itself, it does in threads."""

    def __init__(self, symbols: SymbolsModel, context: ContextModel | None, threads: Executor) -> None:
        self.symbols = symbols
        self.context = context
        self._threads = threads

    async def versions(self, begun: Versions | None = None) -> Versions:
        """Choose the versions for all pages of a piece.

        Args:
            begun: those that have read some of its pages already.

        Returns:
            `begun` while the model server has all of it ready, else the newest that are.

        Raises:
            ModelUnavailableError: there is no model server, or it lacks a model.
        """
        symbols = await self.symbols.versions()
        context = await self.context.versions() if self.context else (None,)
        if begun is not None and begun.symbols in symbols and begun.context in context:
            return begun
        return Versions(symbols[-1], context[-1])

    async def read(self, place: PagePlace, versions: Versions) -> ReadPage:
        """Read one page.

        Raises:
            CopyistError: of the kind that says who can do something about it.
        """
        timings_s: dict[str, float] = {}
        with timed(timings_s, "read"):
            picture = await self._in_thread(partial(read_page, place))
        with timed(timings_s, "prepare"):
            page, placed = await self._in_thread(partial(made_ready, picture))
            look = await self._in_thread(partial(look_at, picture.image, page))
        del picture
        with timed(timings_s, "model"):
            stitcher = await self.symbols.look(page.image, placed, versions.symbols)
        with timed(timings_s, "staves"):
            seen = await self._in_thread(partial(recognised, page, stitcher))
        if self.context is not None and versions.context is not None:
            with timed(timings_s, "context"):
                windows, tensors = await self._in_thread(partial(windows_of, seen))
                readings = await self.context.reread(tensors, versions.context)
                symbols = await self._in_thread(partial(reread, seen.symbols, windows, readings))
            seen = replace(seen, symbols=symbols)
        return ReadPage(versions, seen, look, timings_s)

    async def _in_thread(self, work: Callable[[], R]) -> R:
        return await in_thread(self._threads, work)
