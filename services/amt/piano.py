"""The piano model, as the service sees it: a recording's samples in, its posteriors out."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.amt.chunks import Stitcher, cut
from services.amt.contract import PIANO
from services.amt.notes import DecodingThresholds
from services.amt.profile import EDGES
from services.runtime.models import Inference, ServedModel


class PianoModel(ServedModel):
    """The piano model on a model server."""

    def __init__(self, server: Inference, model_repository: Path, *, chunks_in_flight: int) -> None:
        super().__init__(server, model_repository, PIANO, edges=EDGES)
        self.thresholds = DecodingThresholds.from_card(self.card)
        self._chunks_in_flight = chunks_in_flight

    async def posteriors(self, samples: NDArray[np.int16], version: str) -> NDArray[np.uint8]:
        """Hear a whole recording: int16 [N] in, uint8 [4, T, 88] out; all of it by one version.

        Raises:
            ModelUnavailableError, ModelError, OverloadedError: as the model server's client says.
        """
        stitcher = Stitcher(samples.size)
        chunks = enumerate(cut(samples))

        async def send() -> None:
            # All senders draw from one iterator: a chunk is cut only when one of them is free.
            for index, chunk in chunks:
                answer = await self.infer(version, "audio", chunk[np.newaxis])
                stitcher.put(index, answer["posteriors"][0])

        try:
            async with asyncio.TaskGroup() as senders:
                for _ in range(self._chunks_in_flight):
                    senders.create_task(send())
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return stitcher.posteriors
