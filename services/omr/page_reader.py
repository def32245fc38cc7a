"""One page read by the models: from its place in an upload to its staves and symbols."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from services.omr.agreement import symbols_f1
from services.omr.assembly.recognition import RecognisedPage
from services.omr.context import Window, reread, windows_of
from services.omr.look import PageLook, look_at
from services.omr.models import ContextModel, SymbolsModel
from services.omr.page import PreparedPage, Symbol
from services.omr.steps import made_ready, recognised
from services.omr.tiles import Tile
from services.omr.uploads import PagePlace, read_page
from services.runtime.models import CanaryFailedError, ServedVersion
from services.runtime.shadows import Copy, Shadows
from services.runtime.work import in_thread, timed

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Versions:
    """Which versions of the models read pages; `context` is None where that model was not shipped."""

    symbols: str
    context: str | None


@dataclass(frozen=True, slots=True)
class Chosen:
    """The versions that are to read a piece, and the id of its request, which chose them."""

    symbols: ServedVersion
    context: ServedVersion | None
    request_id: str

    @property
    def versions(self) -> Versions:
        """Their numbers."""
        return Versions(self.symbols.number, self.context.number if self.context else None)


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

    def __init__(
        self,
        symbols: SymbolsModel,
        context: ContextModel | None,
        threads: Executor,
        turns: asyncio.Semaphore,
    ) -> None:
        """Name the models.

        Args:
            symbols, context: the models in use; None where the second was not shipped.
            threads: where what it does itself is done.
            turns: a page under way holds one.
        """
        self.symbols = symbols
        self.context = context
        self._threads = threads
        self._turns = turns
        self._shadows = Shadows()

    async def choose(self, request_id: str, *, begun: Versions | None = None, asked: str = "") -> Chosen:
        """Choose the versions for all pages of a piece.

        Args:
            request_id: as `ServedModel.choose` has it.
            begun: those that have read some of its pages already, and go on while they serve.
            asked: the version of the symbols model that the caller insists on.

        Raises:
            ModelUnavailableError, NotFoundError: as `ServedModel.choose`.
        """
        begun = begun or Versions("", None)
        symbols = await self.symbols.choose(request_id, begun=begun.symbols, asked=asked)
        context = None
        if self.context is not None:
            context = await self.context.choose(request_id, begun=begun.context or "")
        return Chosen(symbols, context, request_id)

    def instead_of(self, chosen: Chosen, failure: CanaryFailedError) -> Chosen:
        """Choose what reads a piece in place of versions of which one, on trial, has failed to."""
        if failure.model == self.symbols.name:
            return replace(chosen, symbols=self.symbols.instead_of(chosen.symbols, failure))
        assert self.context is not None and chosen.context is not None  # noqa: S101 - it has failed
        return replace(chosen, context=self.context.instead_of(chosen.context, failure))

    async def read(self, place: PagePlace, chosen: Chosen) -> ReadPage:
        """Read one page, once it is its turn.

        Raises:
            CopyistError: of the kind that says who can do something about it.
        """
        asked_at = time.perf_counter()
        async with self._turns:
            return await self._read(place, chosen, {"queue": time.perf_counter() - asked_at})

    async def _read(self, place: PagePlace, chosen: Chosen, timings_s: dict[str, float]) -> ReadPage:
        with timed(timings_s, "read"):
            picture = await self._in_thread(partial(read_page, place))
        with timed(timings_s, "prepare"):
            page, placed = await self._in_thread(partial(made_ready, picture))
            look = await self._in_thread(partial(look_at, picture.image, page))
        del picture
        with timed(timings_s, "model"):
            stitcher = await self.symbols.look(page.image, placed, chosen.symbols)
        with timed(timings_s, "staves"):
            seen = await self._in_thread(partial(recognised, page, stitcher))
        await self._shadow_symbols(page, placed, seen.symbols, chosen.request_id)
        if self.context is not None and chosen.context is not None:
            with timed(timings_s, "context"):
                windows, tensors = await self._in_thread(partial(windows_of, seen))
                readings = await self.context.reread(tensors, chosen.context)
                symbols = await self._in_thread(partial(reread, seen.symbols, windows, readings))
            await self._shadow_context(seen.symbols, windows, tensors, symbols, chosen.request_id)
            seen = replace(seen, symbols=symbols)
        return ReadPage(chosen.versions, seen, look, timings_s)

    async def close(self) -> None:
        """End what is done for versions in the shadow."""
        await self._shadows.close()

    async def _shadow_symbols(
        self, page: PreparedPage, placed: tuple[Tile, ...], answered: tuple[Symbol, ...], request_id: str
    ) -> None:
        """Offer a page to the version of the symbols model in the shadow, if that is to have it."""
        shadow = await self.symbols.shadowing(request_id)
        if shadow is None:
            return

        async def compare() -> float:
            stitcher = await self.symbols.look(page.image, placed, shadow)
            return await asyncio.to_thread(lambda: symbols_f1(answered, recognised(page, stitcher).symbols))

        self._shadows.offer(Copy(self.symbols.name, shadow.number, page.image.nbytes, compare))

    async def _shadow_context(
        self,
        seen: tuple[Symbol, ...],
        windows: tuple[Window, ...],
        tensors: NDArray[np.float32],
        answered: tuple[Symbol, ...],
        request_id: str,
    ) -> None:
        """Offer what was seen on a page to the version of the context model in the shadow, as above."""
        shadow = await self.context.shadowing(request_id) if self.context else None
        if self.context is None or shadow is None:
            return
        model = self.context

        async def compare() -> float:
            readings = await model.reread(tensors, shadow)
            return await asyncio.to_thread(lambda: symbols_f1(answered, reread(seen, windows, readings)))

        self._shadows.offer(Copy(model.name, shadow.number, tensors.nbytes, compare))

    async def _in_thread(self, work: Callable[[], R]) -> R:
        return await in_thread(self._threads, work)
