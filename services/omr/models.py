"""The models of pages, as the service sees them: tiles or candidates in, what was read of them out."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.omr import tiles
from services.omr.contract import CONTEXT, READING_FIELDS, SEQUENCE, SYMBOLS
from services.omr.profile import EDGES
from services.omr.symbols import least_scores
from services.runtime.models import ServedModel, ServedVersion
from services.runtime.readiness import Inference
from services.runtime.release.manifest import Role
from services.runtime.release.serving import Releases


class SymbolsModel(ServedModel):
    """The `symbols` model on a model server."""

    def __init__(
        self,
        server: Inference,
        model_repository: Path,
        *,
        tiles_in_flight: int,
        releases: Releases | None = None,
    ) -> None:
        super().__init__(server, model_repository, SYMBOLS, edges=EDGES, releases=releases)
        self._tiles_in_flight = tiles_in_flight

    async def look(
        self, image: NDArray[np.uint8], placed: tuple[tiles.Tile, ...], version: ServedVersion
    ) -> tiles.Stitcher:
        """Have all tiles of a page looked at, by one version.

        Args:
            image: uint8 [height, width], the prepared page.
            placed: its tiles.
            version: of the model.

        Raises:
            CanaryFailedError, ModelUnavailableError, ModelError, OverloadedError: as `ServedModel.infer`.
        """
        stitcher = tiles.Stitcher(image.shape, placed, least_scores(version.card))
        waiting = enumerate(placed)

        async def send() -> None:
            # All senders draw from one iterator: a tile is cut only when one of them is free.
            for index, tile in waiting:
                answer = await self.infer(version, "tile", tiles.cut(image, tile)[np.newaxis])
                stitcher.put(index, answer["candidates"][0], answer["staves"][0])

        try:
            async with asyncio.TaskGroup() as senders:
                # Nobody waits for a shadow: it is to take the model server as little from others as may be.
                for _ in range(1 if version.role is Role.SHADOW else self._tiles_in_flight):
                    senders.create_task(send())
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return stitcher


class ContextModel(ServedModel):
    """The `context` model on a model server."""

    def __init__(
        self, server: Inference, model_repository: Path, *, releases: Releases | None = None
    ) -> None:
        super().__init__(server, model_repository, CONTEXT, releases=releases)

    async def reread(self, windows: NDArray[np.float32], version: ServedVersion) -> NDArray[np.float32]:
        """Have the candidates of a page's staves reread, by one version.

        Args:
            windows: float32 [N, SEQUENCE, CONTEXT_FIELDS], of `services.omr.context.windows_of`.
            version: of the model.

        Returns:
            float32 [N, SEQUENCE, READING_FIELDS].

        Raises:
            CanaryFailedError, ModelUnavailableError, ModelError, OverloadedError: as `ServedModel.infer`.
        """
        readings = [np.zeros((0, SEQUENCE, READING_FIELDS), np.float32)]
        for start in range(0, len(windows), CONTEXT.max_batch):
            batch = windows[start : start + CONTEXT.max_batch]
            readings.append((await self.infer(version, "candidates", batch))["readings"])
        return np.concatenate(readings)
