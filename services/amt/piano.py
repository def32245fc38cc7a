"""The piano model, as the service sees it: a recording's samples in, its posteriors out."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.amt.chunks import Stitcher, count_chunks, cut
from services.amt.contract import CORE_FRAMES, HOP_SAMPLES, PIANO, SAMPLE_RATE_HZ
from services.amt.profile import EDGES
from services.runtime.models import ServedModel, ServedVersion
from services.runtime.readiness import Inference
from services.runtime.release.manifest import Role
from services.runtime.release.serving import Releases
from services.runtime.work import Progress, unheard


class PianoModel(ServedModel):
    """The piano model on a model server."""

    def __init__(
        self,
        server: Inference,
        model_repository: Path,
        *,
        chunks_in_flight: int,
        releases: Releases | None = None,
    ) -> None:
        super().__init__(server, model_repository, PIANO, edges=EDGES, releases=releases)
        self._chunks_in_flight = chunks_in_flight

    async def posteriors(
        self, samples: NDArray[np.int16], version: ServedVersion, progress: Progress = unheard
    ) -> NDArray[np.uint8]:
        """Hear a whole recording; all of it by one version.

        Args:
            samples: int16 [N].
            version: of the model.
            progress: is told after each chunk.

        Returns:
            uint8 [4, T, 88].

        Raises:
            CanaryFailedError, ModelUnavailableError, ModelError, OverloadedError: as `ServedModel.infer`.
        """
        stitcher = Stitcher(samples.size)
        chunks = enumerate(cut(samples))
        heard = 0

        async def send() -> None:
            nonlocal heard
            # All senders draw from one iterator: a chunk is cut only when one of them is free.
            for index, chunk in chunks:
                answer = await self.infer(version, "audio", chunk[np.newaxis])
                stitcher.put(index, answer["posteriors"][0])
                heard += 1
                progress(heard / count_chunks(samples.size), _told(heard, samples.size))

        try:
            async with asyncio.TaskGroup() as senders:
                # Nobody waits for a shadow: it is to take the model server as little from others as may be.
                for _ in range(1 if version.role is Role.SHADOW else self._chunks_in_flight):
                    senders.create_task(send())
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return stitcher.posteriors


def _told(chunks: int, size: int) -> str:
    """Say how far a recording of so many samples was heard, such as `3:25 of 20:00`."""
    heard_s = min(chunks * CORE_FRAMES * HOP_SAMPLES, size) // SAMPLE_RATE_HZ
    return f"{_minutes(heard_s)} of {_minutes(size // SAMPLE_RATE_HZ)}"


def _minutes(seconds: int) -> str:
    return f"{seconds // 60}:{seconds % 60:02}"
