"""What the audio service's HTTP and gRPC sides share: the model, the transcriber, and their health."""

from __future__ import annotations

from typing import Any

from services.amt import notation
from services.amt.contract import PIANO
from services.amt.piano import PianoModel
from services.amt.transcriber import Transcriber
from services.runtime.processes import Processes
from services.runtime.release.serving import Releases
from services.runtime.settings import Settings
from services.runtime.triton import TritonClient


class Backend:
    """One per serving process; made inside its event loop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._triton = TritonClient(settings.triton_url, timeout_s=settings.triton_timeout_s)
        self._releases = Releases.followed(settings, (PIANO.model,))
        self.piano = PianoModel(
            self._triton,
            settings.model_repository,
            chunks_in_flight=settings.chunks_in_flight,
            releases=self._releases,
        )
        self._processes = Processes(
            settings.engraving_processes, warm_up=notation.warm_up, max_s=settings.max_engraving_s
        )
        self.transcriber = Transcriber(
            self.piano,
            self._processes,
            max_audio_s=settings.max_audio_s,
            max_transcriptions=settings.max_transcriptions,
        )

    async def warm_up(self) -> None:
        """Start the processes that engrave, so that the first caller does not wait for them."""
        await self._processes.warm_up()

    async def check_ready(self) -> None:
        """Raise ModelUnavailableError unless the model server answers and has ready what is released."""
        await self.piano.serving()

    async def models(self) -> list[dict[str, Any]]:
        """Describe the models, an entry for each version that answers requests."""
        return await self.piano.describe()

    async def close(self) -> None:
        """Let go of everything."""
        self._releases.close()
        await self.transcriber.close()
        self._processes.close()
        await self._triton.close()
