"""A worker with a toy service, run as a process: `python -m tests.runtime.jobs.toy PORT`.

What its stages do is asked for by the job's options, and each run of a stage is written to a log (TOY_LOG).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from ipaddress import IPv4Address
from pathlib import Path

from services.errors import ModelUnavailableError, UnreadableMediaError
from services.runtime.answers import AnswerFile
from services.runtime.jobs import addresses, expiry, patience, webhooks, worker
from services.runtime.jobs.job import JobState
from services.runtime.jobs.stages import Stage, StageContext
from services.runtime.settings import Settings

SERVICE = "amt"


class ToyJobs:
    """Three stages. Options: `stage_s`; `crash`, `fail`, `full`, `away`, `long`, `held` name one to do so."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.stages = (
            Stage(JobState.SEPARATING, 0.2, self._separate),
            Stage(JobState.TRANSCRIBING, 0.5, self._transcribe),
            Stage(JobState.ENGRAVING, 0.3, self._engrave),
        )

    async def _separate(self, context: StageContext) -> None:
        await self._work(context, "separating")
        await context.keep("parts", b"parts of " + context.inputs[0].read_bytes())

    async def _transcribe(self, context: StageContext) -> None:
        parts = await context.kept("parts")
        assert parts is not None
        await self._work(context, "transcribing")
        await context.keep("notes", b"notes of " + parts)

    async def _engrave(self, context: StageContext) -> None:
        notes = await context.kept("notes")
        assert notes is not None
        assert await context.kept("nothing") is None
        await self._work(context, "engraving")
        await context.publish([AnswerFile(f"{context.title}.txt", "txt", "text/plain", notes)])

    async def _work(self, context: StageContext, stage: str) -> None:
        note(context.job_id, stage, "begins")
        if context.options.get("crash") == stage:
            os.kill(os.getpid(), signal.SIGKILL)
        if context.options.get("fail") == stage:
            raise UnreadableMediaError("This is no music.", remedy="Send music.")
        if context.options.get("bug") == stage:
            raise KeyError("a slip")
        if context.options.get("away") == stage and not model_is_there():
            raise ModelUnavailableError("The model server is not available.")
        while context.options.get("held") == stage and not model_is_there():  # noqa: ASYNC110 - a file
            await asyncio.sleep(0.05)
        if context.options.get("full") == stage:
            (context.folder / "big").write_bytes(bytes(32 << 20))
        seconds = (
            600.0 if context.options.get("long") == stage else float(context.options.get("stage_s", "0.1"))
        )
        for step in range(10):
            context.report(step / 10, f"step {step}")
            await asyncio.sleep(seconds / 10)
        note(context.job_id, stage, "ends")

    async def warm_up(self) -> None:
        pass

    async def check_ready(self) -> None:
        pass

    async def close(self) -> None:
        pass


def model_is_there() -> bool:
    return Path(os.environ["TOY_MODEL"]).exists()


def note(job_id: str, stage: str, what: str) -> None:
    """Add a line to the log of all workers; short lines are added whole."""
    with Path(os.environ["TOY_LOG"]).open("a") as log:
        log.write(f"{job_id} {stage} {what} {os.getpid()}\n")


def main() -> None:
    if "TOY_LOCAL_WEBHOOKS" in os.environ:
        public = addresses.is_public
        addresses.is_public = lambda address: address == IPv4Address("127.0.0.1") or public(address)
        webhooks._FIRST_DELAY_S = 0.2  # type: ignore[misc]
    patience.FULL_PATIENCE_S = 6.0  # type: ignore[misc]
    worker._FIRST_SWEEP_S = 1.0  # type: ignore[misc]
    worker._SWEEPING_S = 1.0  # type: ignore[misc]
    expiry.log.setLevel("INFO")
    worker.run_worker(SERVICE, ToyJobs, Settings.from_environment(), int(sys.argv[1]))


if __name__ == "__main__":
    main()
