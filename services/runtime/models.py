"""A model as a service sees it: its card, and the versions of it that the model server has ready."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from numpy.typing import NDArray
from prometheus_client import Gauge

from services.errors import ModelUnavailableError, OverloadedError
from services.runtime import profiles
from services.runtime.cards import read_card
from services.runtime.contract import ModelContract
from services.runtime.profiles import Edges

#: A model server that takes longer to say what it has is taken to be away.
ANSWER_WITHIN_S: Final = 4.0
#: What of a card is told to callers.
_TOLD: Final = ("sha256", "data", "licence", "measures")

_READY: Final = Gauge(
    "copyist_model_ready",
    "Whether a version of a model is ready on the model server, as the service sees it.",
    ["model", "version"],
    multiprocess_mode="livemin",
)


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


class ServedModel:
    """A model on a model server."""

    def __init__(
        self,
        server: Inference,
        model_repository: Path,
        contract: ModelContract,
        *,
        edges: Edges | None = None,
    ) -> None:
        """Name the model.

        Args:
            server: where it runs.
            model_repository: where its card lies.
            contract: its tensors.
            edges: the bins of the features that its drift is watched by; None where it is not.
        """
        self.name = contract.model
        self.card = read_card(model_repository, self.name)
        self._contract = contract
        self._server = server
        self._edges = edges
        self._seen: set[str] = set()

    async def versions(self) -> tuple[str, ...]:
        """List the versions that are ready, oldest first.

        Raises:
            ModelUnavailableError: there is no model server, or it has none.
        """
        try:
            versions = await asyncio.wait_for(self._server.versions(self.name), ANSWER_WITHIN_S)
        except (TimeoutError, OverloadedError):
            self._tell_ready(())
            raise ModelUnavailableError(
                f"The model server does not answer (within {ANSWER_WITHIN_S:g} s).",
                remedy="Try again in a moment; if it stays so, look into the model server's log.",
            ) from None
        except ModelUnavailableError:
            self._tell_ready(())
            raise
        self._tell_ready(versions)
        if not versions:
            raise ModelUnavailableError(
                f"The model server has no version of the model {self.name} ready.",
                remedy="Try again in a moment; if it stays so, look into the model server's log.",
            )
        return tuple(sorted(versions, key=int))

    def _tell_ready(self, versions: Collection[str]) -> None:
        """Tell Prometheus which versions are ready, and what their drift is measured against."""
        for version in set(versions) - self._seen:
            if self._edges is not None:
                profiles.declare(self.name, version, self.card, self._edges)
            self._seen.add(version)
        for version in self._seen:
            _READY.labels(self.name, version).set(version in versions)

    @property
    def released(self) -> bool:
        """Whether the repository holds the model's card, without which it is not meant for use."""
        return bool(self.card)

    async def infer(self, version: str, name: str, batch: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Run a batch through the model.

        Args:
            version: which one to ask.
            name: of the model's only input.
            batch: one item or several, of the contract's shape after the first axis.

        Returns:
            Each output of the contract, batch first.

        Raises:
            ModelUnavailableError, ModelError, OverloadedError: as the model server's client says.
        """
        return await self._server.infer(self._contract, version, {name: batch})

    async def describe(self) -> list[dict[str, Any]]:
        """Tell of each version that is ready, and what the card states."""
        about = {key: self.card[key] for key in _TOLD if key in self.card}
        return [
            {"name": self.name, "version": version, "ready": True, "card": about}
            for version in await self.versions()
        ]
