"""The reading of pages, from the bytes of files to notes and new files, free of any protocol."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, TypeVar

from services.errors import OverloadedError
from services.omr import notation, profile
from services.omr.assembly.recognition import Recognition
from services.omr.document import write_document
from services.omr.models import ContextModel, SymbolsModel
from services.omr.options import Options, PageFormat
from services.omr.overlay import overlay_png
from services.omr.page_reader import Chosen, PageReader, ReadPage
from services.omr.palette import ColourBy
from services.omr.restore import restore
from services.omr.uploads import PageLimits, PagePlace, find_pages, read_colours, read_page
from services.runtime import outcomes
from services.runtime.models import CanaryFailedError
from services.runtime.outcomes import Outcome
from services.runtime.processes import Processes
from services.runtime.work import Progress, in_thread, timed, unheard

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Upload:
    """Files whose pages were found.

    Attributes:
        places: file and number of each page.
        timings_s: seconds that it took, by the step's name.
    """

    places: tuple[PagePlace, ...]
    timings_s: Mapping[str, float]


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
        self._processes = processes
        self._limits = limits
        self._max_recognitions = max_recognitions
        self._pages_in_flight = pages_in_flight
        self._running = 0
        # A page under way is what takes memory: they are counted over all requests.
        self._turns = asyncio.Semaphore(pages_in_flight)
        self._threads = ThreadPoolExecutor(pages_in_flight, thread_name_prefix="page")
        self.page_reader = PageReader(symbols, context, self._threads, self._turns)

    def check_room(self) -> None:
        """Raise OverloadedError while as many requests as allowed are being served."""
        if self._running >= self._max_recognitions:
            raise OverloadedError(
                f"{self._running} requests for pages are being served, which is the limit "
                "(COPYIST_MAX_RECOGNITIONS).",
                remedy="Try again in a few seconds.",
            )

    async def read(
        self,
        sources: Sequence[BinaryIO],
        options: Options,
        *,
        request_id: str,
        version: str = "",
        title: str = "",
    ) -> Reading:
        """Read the pages of one piece, and write down what is on them.

        Cancelling the call ends all of its work.

        Args:
            sources: the files' bytes, in page order; they must stay open until this returns.
            options: what is asked for.
            request_id: chooses the versions of the models.
            version: of the symbols model that the caller insists on.
            title: what the score is called where the pages do not tell.

        Raises:
            CopyistError: of the kind that says who can do something about it.
        """
        async with self._admitted() as folder:
            # Asked first: without a model there is no use in looking at files.
            chosen = await self.page_reader.choose(request_id, asked=version)
            upload = await self.open(await self._in_thread(partial(_laid, sources, folder)))
            return await self.write(upload, await self.read_pages(upload, chosen), options, title=title)

    async def open(self, files: Sequence[Path]) -> Upload:
        """Find the pages of files.

        Raises:
            UnreadableMediaError, TooLargeError: as `services.omr.uploads.find_pages`.
        """
        timings_s: dict[str, float] = {}
        with timed(timings_s, "open"):
            places = await self._in_thread(partial(find_pages, files, self._limits))
        return Upload(places, timings_s)

    async def read_pages(
        self,
        upload: Upload,
        chosen: Chosen,
        *,
        known: Mapping[int, ReadPage] = MappingProxyType({}),
        keep: Callable[[int, ReadPage], Awaitable[None]] | None = None,
        progress: Progress = unheard,
    ) -> tuple[ReadPage, ...]:
        """Read the pages of a piece one by one: the first stage, with no limit on how many pieces are in it.

        Args:
            upload: the pages.
            chosen: the versions that are to read them; where one on trial fails, all are read without it.
            known: pages that those have read already, by their index.
            keep: is given every other page once it was read.
            progress: is told how many were read.

        Raises:
            CopyistError: of the kind that says who can do something about it.
        """
        try:
            return await self._read_pages(upload, chosen, known, keep, progress)
        except CanaryFailedError as failure:
            chosen = self.page_reader.instead_of(chosen, failure)
            return await self.read_pages(upload, chosen, keep=keep, progress=progress)

    async def _read_pages(
        self,
        upload: Upload,
        chosen: Chosen,
        known: Mapping[int, ReadPage],
        keep: Callable[[int, ReadPage], Awaitable[None]] | None,
        progress: Progress,
    ) -> tuple[ReadPage, ...]:
        pages = dict(known)
        count = len(upload.places)

        def tell() -> None:
            progress(len(pages) / count, f"page {min(len(pages) + 1, count)} of {count}")

        async def read(index: int) -> None:
            page = await self.page_reader.read(upload.places[index], chosen)
            if keep is not None:
                await keep(index, page)
            pages[index] = page
            tell()

        left = [index for index in range(count) if index not in pages]
        if left:
            tell()
        await self._each(left, read)
        return tuple(pages[index] for index in range(count))

    async def write(
        self, upload: Upload, pages: Sequence[ReadPage], options: Options, *, title: str = ""
    ) -> Reading:
        """Write down what is on the pages: the second stage, with no limit on how many pieces are in it.

        Args:
            upload: the pages, which the overlay is drawn on.
            pages: what the first stage gave: one or more, all by the same versions.
            options: what is asked for.
            title: what the score is called where the pages do not tell.

        Raises:
            CopyistError: of the kind that says who can do something about it.
        """
        timings_s = _summed([upload.timings_s, *(page.timings_s for page in pages)])
        seen = [page.page for page in pages]
        asked_at = time.perf_counter()
        written = await self._processes.run(notation.write, seen, options.formats, title)
        # The way there and back included; next to nothing unless others are before it.
        waited_s = time.perf_counter() - asked_at - written.assembly_s - written.engraving_s
        timings_s["queue"] = timings_s.get("queue", 0.0) + max(waited_s, 0.0)
        timings_s |= {"assembly": written.assembly_s, "engraving": written.engraving_s}
        files: dict[PageFormat, tuple[bytes, ...]] = {
            kind: (content,) for kind, content in written.files.items()
        }
        if PageFormat.JSON in options.formats:
            write = partial(write_document, written.recognition, upload.places)
            files[PageFormat.JSON] = (await self._in_thread(write),)
        if PageFormat.OVERLAY in options.formats:
            draw = partial(self._overlay, written.recognition, options.colour_by)
            with timed(timings_s, "overlay"):
                files[PageFormat.OVERLAY] = tuple(await self._each(tuple(enumerate(upload.places)), draw))
        files = {kind: files[kind] for kind in options.formats if kind in files}  # in the order asked
        name, versions = self.page_reader.symbols.name, pages[0].versions
        seen_and_found = zip(pages, written.recognition.pages, strict=True)
        observations = [profile.measure(page.look, found) for page, found in seen_and_found]
        notes = len(written.recognition.notes)
        outcomes.count(Outcome(name, versions.symbols, len(pages), notes, timings_s, observations))
        return Reading(
            model=name,
            version=versions.symbols,
            context_version=versions.context,
            places=upload.places,
            recognition=written.recognition,
            files=files,
            timings_s=timings_s,
        )

    async def restore(self, sources: Sequence[BinaryIO]) -> tuple[bytes, ...]:
        """Clean, straighten and binarise pages: a PNG of each. Cancelling the call ends all of its work.

        Raises:
            CopyistError: of the kind that says who can do something about it.
        """
        async with self._admitted() as folder:
            upload = await self.open(await self._in_thread(partial(_laid, sources, folder)))
            return tuple(await self._each(upload.places, self._restored))

    async def close(self) -> None:
        """Give the threads back."""
        await self.page_reader.close()
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

    async def _overlay(
        self, recognition: Recognition, colour_by: ColourBy, numbered: tuple[int, PagePlace]
    ) -> bytes:
        index, place = numbered
        async with self._turns:
            return await self._in_thread(
                lambda: overlay_png(read_colours(place), recognition, index, colour_by)
            )

    async def _restored(self, place: PagePlace) -> bytes:
        async with self._turns:
            return await self._in_thread(lambda: restore(read_page(place).image))

    async def _each(self, items: Sequence[T], work: Callable[[T], Awaitable[R]]) -> list[R]:
        """Do the work, which takes a turn, on every item: as many at once as there are turns, in order."""
        results: dict[int, R] = {}
        waiting = iter(enumerate(items))

        async def take() -> None:
            for index, item in waiting:
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


def _laid(sources: Sequence[BinaryIO], folder: Path) -> list[Path]:
    """Lay the files' bytes into a folder."""
    paths = [folder / str(index) for index in range(len(sources))]
    for source, path in zip(sources, paths, strict=True):
        with path.open("wb") as file:
            shutil.copyfileobj(source, file)
    return paths


def _summed(timings_s: Sequence[Mapping[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for each in timings_s:
        for stage, seconds in each.items():
            total[stage] = total.get(stage, 0.0) + seconds
    return total
