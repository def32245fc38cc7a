"""Recordings as jobs: the stages of a transcription, each kept once it has ended."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import Final

from services.amt import answer
from services.amt.backend import Backend
from services.amt.options import Options
from services.amt.transcriber import Heard
from services.runtime.jobs.job import JobState
from services.runtime.jobs.kept import packed, unpacked
from services.runtime.jobs.stages import Stage, StageContext
from services.runtime.settings import Settings

#: Name of what is kept of a recording that was heard; and its form, to be told anew when `Heard` changes.
HEARD: Final = "heard"
HEARD_FORM: Final = "amt-heard/1"
#: Name of the version that has begun to hear it.
VERSION: Final = "version"


class AudioJobs(Backend):
    """The inside of the audio service, as its worker uses it.

    The job's id chooses the version that hears a recording, and the notes are kept with that version's name.
    What is killed while it hears begins again, with the same version while that still serves: hearing two
    hours takes four minutes on two cores, which is not worth keeping parts of.
    """

    def __init__(self, settings: Settings) -> None:
        # How many jobs there are at once is the worker's business.
        super().__init__(replace(settings, max_transcriptions=settings.worker_jobs))
        self.stages: tuple[Stage, ...] = (
            Stage(JobState.TRANSCRIBING, 0.85, self._hear),
            Stage(JobState.ENGRAVING, 0.15, self._write),
        )

    async def _hear(self, context: StageContext) -> None:
        await self._heard(context)

    async def _write(self, context: StageContext) -> None:
        heard = await self._heard(context)
        options = Options.parse(context.options)
        transcription = await self.transcriber.write(heard, options, title=context.title)
        written = partial(answer.as_files, transcription, context.request_id, context.title)
        await context.publish(await asyncio.to_thread(written))

    async def _heard(self, context: StageContext) -> Heard:
        """Take what was kept, or hear the recording where nothing was, or not in the present form."""
        kept = await context.kept(HEARD)
        heard = await asyncio.to_thread(unpacked, kept, Heard, HEARD_FORM)
        if heard is None:
            begun = await context.kept(VERSION) or b""
            version = await self.piano.choose(context.job_id, begun=begun.decode())
            if version.number.encode() != begun:
                await context.keep(VERSION, version.number.encode())
            with context.inputs[0].open("rb") as source:
                heard = await self.transcriber.hear(
                    source, version, request_id=context.job_id, progress=context.report
                )
            await context.keep(HEARD, await asyncio.to_thread(packed, heard, HEARD_FORM))
        return heard
