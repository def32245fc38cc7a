"""Pages as jobs: the stages of a recognition; every page is kept once it was read."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from services.omr import answer
from services.omr.backend import Backend
from services.omr.options import Options
from services.omr.page_reader import ReadPage, Versions
from services.omr.reader import Upload
from services.runtime.jobs.job import JobState
from services.runtime.jobs.kept import packed, unpacked
from services.runtime.jobs.stages import Stage, StageContext
from services.runtime.settings import Settings

#: The form of a kept page, to be told anew when what its fields mean changes.
PAGE_FORM: Final = "omr-page/1"


class PageJobs(Backend):
    """The inside of the page service, as its worker uses it.

    All pages of a job are read by the same versions of the models, which the job's id chooses and the answer
    names. A job that goes on after its worker was killed stays with the versions it was begun with while they
    serve; once they do not, what they had read is read again by those that do. Where all pages had been read,
    the versions stay those.
    """

    def __init__(self, settings: Settings) -> None:
        # How many jobs there are at once is the worker's business.
        super().__init__(replace(settings, max_recognitions=settings.worker_jobs))
        self.stages: tuple[Stage, ...] = (
            Stage(JobState.RECOGNIZING, 0.85, self._read),
            Stage(JobState.ENGRAVING, 0.15, self._write),
        )

    async def _read(self, context: StageContext) -> None:
        await self._pages(context, await self.reader.open(context.inputs))

    async def _write(self, context: StageContext) -> None:
        upload = await self.reader.open(context.inputs)
        pages = await self._pages(context, upload)
        options = Options.parse(context.options)
        reading = await self.reader.write(upload, pages, options, title=context.title)
        written = partial(
            answer.as_files, reading, context.request_id, context.title, explain=options.explain
        )
        await context.publish(await asyncio.to_thread(written))

    async def _pages(self, context: StageContext, upload: Upload) -> tuple[ReadPage, ...]:
        """Take the pages that were kept, and read the others."""
        count = len(upload.places)
        kept = await _kept(context, count)
        begun = _most_common(kept)
        if begun is not None and len(_read_by(begun, kept)) == count:
            return tuple(kept[index] for index in range(count))
        chosen = await self.reader.page_reader.choose(context.job_id, begun=begun)

        async def keep(index: int, page: ReadPage) -> None:
            await context.keep(_name(index), await asyncio.to_thread(packed, page, PAGE_FORM))

        return await self.reader.read_pages(
            upload, chosen, known=_read_by(chosen.versions, kept), keep=keep, progress=context.report
        )


async def _kept(context: StageContext, count: int) -> dict[int, ReadPage]:
    """Take all pages that were kept in the present form, by their index."""

    async def one(index: int) -> ReadPage | None:
        content = await context.kept(_name(index))
        return await asyncio.to_thread(unpacked, content, ReadPage, PAGE_FORM)

    pages = await asyncio.gather(*map(one, range(count)))
    return {index: page for index, page in enumerate(pages) if page is not None}


def _most_common(pages: Mapping[int, ReadPage]) -> Versions | None:
    """Tell the versions that have read the most pages; None where there are no pages."""
    counted = Counter(page.versions for page in pages.values()).most_common(1)
    return counted[0][0] if counted else None


def _read_by(versions: Versions, pages: Mapping[int, ReadPage]) -> dict[int, ReadPage]:
    return {index: page for index, page in pages.items() if page.versions == versions}


def _name(index: int) -> str:
    return f"page-{index + 1}"
