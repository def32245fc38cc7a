"""The `symbols` model, as the service sees it: a prepared page in, its symbols and middle lines out."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.omr import tiles
from services.omr.contract import SYMBOLS
from services.omr.symbols import least_scores
from services.runtime.models import Inference, ServedModel


class SymbolsModel(ServedModel):
    """The `symbols` model on a model server."""

    def __init__(self, server: Inference, model_repository: Path, *, tiles_in_flight: int) -> None:
        super().__init__(server, model_repository, SYMBOLS)
        self._least_scores = least_scores(self.card)
        self._tiles_in_flight = tiles_in_flight

    async def look(
        self, image: NDArray[np.uint8], placed: tuple[tiles.Tile, ...], version: str
    ) -> tiles.Stitcher:
        """Have all tiles of a page looked at, by one version.

        Args:
            image: uint8 [height, width], the prepared page.
            placed: its tiles.
            version: of the model.

        Raises:
            ModelUnavailableError, ModelError, OverloadedError: as the model server's client says.
        """
        stitcher = tiles.Stitcher(image.shape, placed, self._least_scores)
        waiting = enumerate(placed)

        async def send() -> None:
            # All senders draw from one iterator: a tile is cut only when one of them is free.
            for index, tile in waiting:
                answer = await self.infer(version, "tile", tiles.cut(image, tile))
                stitcher.put(index, answer["candidates"], answer["staves"])

        try:
            async with asyncio.TaskGroup() as senders:
                for _ in range(self._tiles_in_flight):
                    senders.create_task(send())
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return stitcher
