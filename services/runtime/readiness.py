"""Which versions of a model are ready, known without asking the model server for each request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final, Protocol

from numpy.typing import NDArray

from services.errors import CopyistError, ModelUnavailableError, OverloadedError
from services.runtime.contract import ModelContract
from services.runtime.release.manifest import Role

#: A model server that takes longer to say what it has is taken to be away; its client can ask twice in it.
ANSWER_WITHIN_S: Final = 5.0
#: What it said is taken for true so long, in seconds; then it is asked again beside the requests, ...
FRESH_S: Final = 2.0
#: ... and after so long before any is answered.
STALE_S: Final = 10.0


class Inference(Protocol):
    """What is needed of a model server; `services.runtime.triton.TritonClient` is one."""

    async def infer(
        self,
        contract: ModelContract,
        version: str | None,
        inputs: Mapping[str, NDArray[Any]],
        role: Role = Role.STABLE,
    ) -> dict[str, NDArray[Any]]:
        """Run one batch, with as much patience as the version's role is worth."""
        ...

    async def versions(self, model: str) -> tuple[str, ...]:
        """List the versions that are ready."""
        ...


class Readiness:
    """What a model server has ready of one model; used inside one event loop."""

    def __init__(self, server: Inference, model: str) -> None:
        self._server = server
        self._model = model
        self._found: tuple[str, ...] = ()
        self._found_at = -STALE_S
        self._looking: asyncio.Task[tuple[str, ...]] | None = None

    async def versions(self) -> tuple[str, ...]:
        """List the versions that are ready, oldest first, as they were a few seconds ago at most.

        Raises:
            ModelUnavailableError: there is no model server, or it has none.
        """
        age_s = time.monotonic() - self._found_at
        if age_s > STALE_S:
            return await self.look()
        if age_s > FRESH_S and (self._looking is None or self._looking.done()):
            self._looking = asyncio.create_task(self.look())
            # That nothing was found is told to whoever asks next.
            self._looking.add_done_callback(_heard)
        return self._found

    async def look(self) -> tuple[str, ...]:
        """Ask the model server now; as `versions`."""
        try:
            found = await asyncio.wait_for(self._server.versions(self._model), ANSWER_WITHIN_S)
        except (TimeoutError, OverloadedError):
            self.doubt()
            raise ModelUnavailableError(
                f"The model server does not answer (within {ANSWER_WITHIN_S:g} s).",
                remedy="Try again in a moment; if it stays so, look into the model server's log.",
            ) from None
        except CopyistError:
            self.doubt()
            raise
        if not found:
            self.doubt()
            raise ModelUnavailableError(
                f"The model server has no version of the model {self._model} ready.",
                remedy="Try again in a moment; if it stays so, look into the model server's log.",
            )
        self._found = tuple(sorted(found, key=int))
        self._found_at = time.monotonic()
        return self._found

    def doubt(self) -> None:
        """Ask again before the next request is answered: a call has failed."""
        self._found_at = -STALE_S


def _heard(look: asyncio.Task[tuple[str, ...]]) -> None:
    if not look.cancelled():
        look.exception()
