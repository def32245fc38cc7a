"""The reading of pages, from the bytes of files to notes and new files, free of any protocol."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

from services.errors import OverloadedError
from services.omr import metrics, notation
from services.omr.assembly.recognition import RecognisedPage, Recognition
from services.omr.context import reread, windows_of
from services.omr.document import write_document
from services.omr.models import ContextModel, SymbolsModel
from services.omr.options import Options, PageFormat
from services.omr.overlay import overlay_png
from services.omr.palette import ColourBy
from services.omr.restore import restore
from services.omr.steps import made_ready, recognised
from services.omr.uploads import PageLimits, PagePlace, find_pages, read_colours, read_page
from services.runtime.processes import Processes
from services.runtime.work import in_thread, timed

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Reading:
    """Pages that were read as one piece.

    Attributes:
        model, version: which model looked at them.
        context_version: of the model that reread what was seen; None where none was released.
        places: file and number of each page.
        recognition: what is on them.
        files: the formats asked for that could be made, each a list: one file, or one for each page.
        timings_s: seconds that each stage took, by its name, summed over pages.
    """

    model: str
    version: str
    context_version: str | None
    places: tuple[PagePlace, ...]
    recognition: Recognition
    files: Mapping[PageFormat, tuple[bytes, ...]]
    timings_s: Mapping[str, float]


class Reader:
    """Reads pages: a limited number of requests at once, and a limited number of pages of them all."""

    def __init__(
        self,
        symbols: SymbolsModel,
        context: ContextModel | None,
        processes: Processes,
        *,
        limits: PageLimits,
        max_recognitions: int,
        pages_in_flight: int,
    ) -> None:
        self.symbols = symbols
        self.context = context
        self._processes = processes
        self._limits = limits
        self._max_recognitions = max_recognitions
        self._pages_in_flight = pages_in_flight
        self._running = 0
        # A page under way is what takes memory: they are counted over all requests.
        self._turns = asyncio.Semaphore(pages_in_flight)
        self._threads = ThreadPoolExecutor(pages_in_flight, thread_name_prefix="page")

    def check_room(self) -> None:
        """Raise OverloadedError while as many requests as allowed are being served."""
        if self._running >= self._max_recognitions:
            raise OverloadedError(
                f"{self._running} requests for pages are being served, which is the limit "
                "(COPYIST_MAX_RECOGNITIONS).",
                remedy="Try again in a few seconds.",
            )

    async def read(self, sources: Sequence[BinaryIO], options: Options, *, title: str = "") -> Reading:
        """Read the pages of one piece. Cancelling the call ends all of its work.

        Args:
            sources: the files' bytes, in page order; they must stay open until this returns.
            options: what is asked for.
            title: what the score is called where the pages do not tell.

        Raises:
            CopyistError: of the kind that says who can do something about it.
        """
        timings_s: dict[str, float] = {}
        async with self._admitted() as folder:
            # Asked first: without a model there is no use in looking at files.
            version = (await self.symbols.versions())[-1]
            context_version = (await self.context.versions())[-1] if self.context else None
            with timed(timings_s, "open"):
                places = await self._in_thread(partial(_open, sources, folder, self._limits))
            look = partial(self._page, version, context_version, timings_s)
            pages = await self._each(places, look)
            written = await self._processes.run(notation.write, pages, options.formats, title)
            timings_s |= {"assembly": written.assembly_s, "engraving": written.engraving_s}
            files: dict[PageFormat, tuple[bytes, ...]] = {
                kind: (content,) for kind, content in written.files.items()
            }
            if PageFormat.JSON in options.formats:
                write = partial(write_document, written.recognition, places)
                files[PageFormat.JSON] = (await self._in_thread(write),)
            if PageFormat.OVERLAY in options.formats:
                draw = partial(self._overlay, written.recognition, options.colour_by)
                with timed(timings_s, "overlay"):
                    drawn = await self._each(tuple(enumerate(places)), draw)
                files[PageFormat.OVERLAY] = tuple(drawn)
        files = {kind: files[kind] for kind in options.formats if kind in files}  # in the order asked
        metrics.count(self.symbols.name, version, written.recognition, timings_s)
        name, found = self.symbols.name, written.recognition
        return Reading(name, version, context_version, places, found, files, timings_s)

    async def restore(self, sources: Sequence[BinaryIO]) -> tuple[bytes, ...]:
        """Clean, straighten and binarise pages: a PNG of each. Cancelling the call ends all of its work.

        Raises:
            CopyistError: of the kind that says who can do something about it.
        """
        async with self._admitted() as folder:
            places = await self._in_thread(partial(_open, sources, folder, self._limits))
            return tuple(await self._each(places, self._restored))

    def close(self) -> None:
        """Give the threads back."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    @asynccontextmanager
    async def _admitted(self) -> AsyncIterator[Path]:
        """Count a request, and give it a folder for its files."""
        self.check_room()
        self._running += 1
        try:
            with tempfile.TemporaryDirectory(prefix="copyist-pages-") as folder:
                yield Path(folder)
        finally:
            self._running -= 1

    async def _page(
        self, version: str, context_version: str | None, timings_s: dict[str, float], place: PagePlace
    ) -> RecognisedPage:
        with timed(timings_s, "read"):
            picture = await self._in_thread(partial(read_page, place))
        with timed(timings_s, "prepare"):
            page, placed = await self._in_thread(partial(made_ready, picture))
        del picture
        with timed(timings_s, "model"):
            stitcher = await self.symbols.look(page.image, placed, version)
        with timed(timings_s, "staves"):
            seen = await self._in_thread(partial(recognised, page, stitcher))
        if self.context is None or context_version is None:
            return seen
        with timed(timings_s, "context"):
            windows, tensors = await self._in_thread(partial(windows_of, seen))
            readings = await self.context.reread(tensors, context_version)
            symbols = await self._in_thread(partial(reread, seen.symbols, windows, readings))
        return replace(seen, symbols=symbols)

    async def _overlay(
        self, recognition: Recognition, colour_by: ColourBy, numbered: tuple[int, PagePlace]
    ) -> bytes:
        index, place = numbered
        return await self._in_thread(lambda: overlay_png(read_colours(place), recognition, index, colour_by))

    async def _restored(self, place: PagePlace) -> bytes:
        return await self._in_thread(lambda: restore(read_page(place).image))

    async def _each(self, items: Sequence[T], work: Callable[[T], Awaitable[R]]) -> list[R]:
        """Do the work on every item, as many at once as there are turns; results in order."""
        results: dict[int, R] = {}
        waiting = iter(enumerate(items))

        async def take() -> None:
            for index, item in waiting:
                async with self._turns:
                    results[index] = await work(item)

        try:
            async with asyncio.TaskGroup() as takers:
                for _ in range(min(self._pages_in_flight, len(items))):
                    takers.create_task(take())
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return [results[index] for index in range(len(items))]

    async def _in_thread(self, work: Callable[[], R]) -> R:
        return await in_thread(self._threads, work)


def _open(sources: Sequence[BinaryIO], folder: Path, limits: PageLimits) -> tuple[PagePlace, ...]:
    """Lay the files into a folder, and find their pages."""
    paths = []
    for index, source in enumerate(sources):
        path = folder / str(index)
        with path.open("wb") as file:
            shutil.copyfileobj(source, file)
        paths.append(path)
    return find_pages(paths, limits)
