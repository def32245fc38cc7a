"""What the page service's HTTP and gRPC sides share: the model, the reader, and their health."""

from __future__ import annotations

from typing import Any

from services.omr import notation
from services.omr.contract import CONTEXT, SYMBOLS
from services.omr.models import ContextModel, SymbolsModel
from services.omr.reader import Reader
from services.omr.uploads import PageLimits
from services.runtime.models import ServedModel
from services.runtime.processes import Processes
from services.runtime.release.serving import Releases
from services.runtime.settings import Settings
from services.runtime.triton import TritonClient


class Backend:
    """One per serving process; made inside its event loop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._triton = TritonClient(settings.triton_url, timeout_s=settings.triton_timeout_s)
        self._releases = Releases.followed(settings, (SYMBOLS.model, CONTEXT.model))
        self.symbols = SymbolsModel(
            self._triton,
            settings.model_repository,
            tiles_in_flight=settings.tiles_in_flight,
            releases=self._releases,
        )
        context = ContextModel(self._triton, settings.model_repository, releases=self._releases)
        #: The models in use; symbols are reread in context only where that model was shipped.
        self.in_use: tuple[ServedModel, ...] = (self.symbols, context) if context.shipped else (self.symbols,)
        self._processes = Processes(
            settings.engraving_processes, warm_up=notation.warm_up, max_s=settings.max_engraving_s
        )
        self.reader = Reader(
            self.symbols,
            context if context.shipped else None,
            self._processes,
            limits=PageLimits(max_pages=settings.max_pages, max_page_pixels=settings.max_page_pixels),
            max_recognitions=settings.max_recognitions,
            pages_in_flight=settings.pages_in_flight,
        )

    async def warm_up(self) -> None:
        """Start the processes that assemble and engrave, so that the first caller does not wait for them."""
        await self._processes.warm_up()

    async def check_ready(self) -> None:
        """Raise ModelUnavailableError unless the model server answers and has ready what is released."""
        for model in self.in_use:
            await model.serving()

    async def models(self) -> list[dict[str, Any]]:
        """Describe the models, an entry for each version that answers requests."""
        return [version for model in self.in_use for version in await model.describe()]

    async def close(self) -> None:
        """Let go of everything."""
        self._releases.close()
        await self.reader.close()
        self._processes.close()
        await self._triton.close()
