"""A job under way whose kept pieces and files lie in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.runtime.answers import AnswerFile
from services.runtime.jobs.stages import JobBackend


class KilledError(Exception):
    """The worker is gone."""


@dataclass
class MemoryContext:
    """A `StageContext`; a second attempt is one more of it with the same `pieces`.

    Attributes:
        pieces: what was kept, by its name.
        told: what was reported, in order.
        files: what was published, by its name.
        fails_after: so many pieces are kept before the worker is as if killed; None for never.
    """

    inputs: Sequence[Path]
    folder: Path
    options: Mapping[str, str] = field(default_factory=dict)
    title: str = "piece"
    job_id: str = "0" * 32
    request_id: str = "a-request"
    pieces: dict[str, bytes] = field(default_factory=dict)
    told: list[tuple[float, str]] = field(default_factory=list)
    files: dict[str, AnswerFile] = field(default_factory=dict)
    fails_after: int | None = None

    def report(self, done: float, message: str = "") -> None:
        self.told.append((done, message))

    async def keep(self, name: str, content: bytes) -> None:
        if self.fails_after is not None and len(self.pieces) >= self.fails_after:
            raise KilledError
        self.pieces[name] = content

    async def kept(self, name: str) -> bytes | None:
        return self.pieces.get(name)

    async def publish(self, files: Sequence[AnswerFile]) -> None:
        self.files.update({file.name: file for file in files})


async def run(jobs: JobBackend, context: MemoryContext) -> None:
    """Do all stages of a job."""
    for stage in jobs.stages:
        await stage.run(context)


def comparable(name: str, content: bytes) -> Any:
    """Take from an answer what differs from request to request."""
    if not name.endswith(".answer.json"):
        return content
    told = json.loads(content)
    del told["id"], told["timings_s"]
    return told
