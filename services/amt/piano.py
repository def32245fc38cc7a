"""The piano model, as the service sees it: a recording's samples in, its posteriors out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from services.amt.chunks import Stitcher, cut
from services.amt.contract import PIANO
from services.amt.notes import DecodingThresholds
from services.errors import ModelUnavailableError, OverloadedError
from services.runtime.cards import read_card
from services.runtime.contract import ModelContract

#: A model server that takes longer to say what it has is taken to be away.
ANSWER_WITHIN_S: Final = 4.0


class Inference(Protocol):
    """What is needed of a model server; `services.runtime.triton.TritonClient` is one."""

    async def infer(
        self, contract: ModelContract, version: str | None, inputs: Mapping[str, NDArray[Any]]
    ) -> dict[str, NDArray[Any]]:
        """Run one batch."""
        ...

    async def versions(self, model: str) -> tuple[str, ...]:
        """List the versions that are ready."""
        ...


class PianoModel:
    """The piano model on a model server."""

    def __init__(self, server: Inference, model_repository: Path, *, chunks_in_flight: int) -> None:
        self.name = PIANO.model
        self.card = read_card(model_repository, self.name)
        self.thresholds = DecodingThresholds.from_card(self.card)
        self._server = server
        self._chunks_in_flight = chunks_in_flight

    async def versions(self) -> tuple[str, ...]:
        """List the versions that are ready, oldest first.

        Raises:
            ModelUnavailableError: there is no model server, or it has none.
        """
        try:
            versions = await asyncio.wait_for(self._server.versions(self.name), ANSWER_WITHIN_S)
        except (TimeoutError, OverloadedError):
            raise ModelUnavailableError(
                f"The model server does not answer (within {ANSWER_WITHIN_S:g} s).",
                remedy="Try again in a moment; if it stays so, look into the model server's log.",
            ) from None
        if not versions:
            raise ModelUnavailableError(
                f"The model server has no version of the model {self.name} ready.",
                remedy="Try again in a moment; if it stays so, look into the model server's log.",
            )
        return tuple(sorted(versions, key=int))

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
                answer = await self._server.infer(PIANO, version, {"audio": chunk[np.newaxis]})
                stitcher.put(index, answer["posteriors"][0])

        try:
            async with asyncio.TaskGroup() as senders:
                for _ in range(self._chunks_in_flight):
                    senders.create_task(send())
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return stitcher.posteriors
