"""The piano model, as the service sees it: a recording's samples in, its posteriors out."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.amt.chunks import Stitcher, count_chunks, cut
from services.amt.contract import CORE_FRAMES, HOP_SAMPLES, PIANO, SAMPLE_RATE_HZ
from services.amt.notes import DecodingThresholds
from services.amt.profile import EDGES
from services.runtime.models import Inference, ServedModel
from services.runtime.work import Progress, unheard


class PianoModel(ServedModel):
    """The piano model on a model server."""

    def __init__(self, server: Inference, model_repository: Path, *, chunks_in_flight: int) -> None:
        super().__init__(server, model_repository, PIANO, edges=EDGES)
        self.thresholds = DecodingThresholds.from_card(self.card)
        self._chunks_in_flight = chunks_in_flight

    async def posteriors(
        self, samples: NDArray[np.int16], version: str, progress: Progress = unheard
    ) -> NDArray[np.uint8]:
        """Hear a whole recording; all of it by one version.

        Args:
            samples: int16 [N].
            version: of the model.
            progress: is told after each chunk.

        Returns:
            uint8 [4, T, 88].

        Raises:
            ModelUnavailableError, ModelError, OverloadedError: as the model server's client says.
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
                for _ in range(self._chunks_in_flight):
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
