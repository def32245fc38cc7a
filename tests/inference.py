"""A model server in memory, for tests of what asks one."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from numpy.typing import NDArray

from services.errors import ModelUnavailableError
from services.runtime.contract import ModelContract
from services.runtime.release.manifest import Role

Tensors = Mapping[str, NDArray[Any]]


class Asked(NamedTuple):
    """One call."""

    model: str
    version: str | None
    role: Role


@dataclass(frozen=True)
class _Failure:
    error: Exception
    version: str | None
    model: str | None
    after: int

    def meets(self, asked: Asked, number: int) -> bool:
        return (
            self.version in (None, asked.version)
            and self.model in (None, asked.model)
            and number > self.after
        )


class ScriptedServer:
    """Remembers what it was asked, and does as it is told; a `services.runtime.readiness.Inference`.

    Attributes:
        ready: the versions of all models but those in `ready_of`; None: it is away.
        ready_of: the versions of models that have others.
        looks: how often it was asked for versions.
        asked: the calls, in their order.
        now: calls under way, by role.
        most: the most that ever were under way, by role.
        gate: calls wait until it is open.
        busy: set once `busy_at` calls are under way.
    """

    busy_at = 1

    def __init__(self, *ready: str) -> None:
        self.ready: tuple[str, ...] | None = ready or ("1",)
        self.ready_of: dict[str, tuple[str, ...]] = {}
        self.looks = 0
        self.asked: list[Asked] = []
        self.now: Counter[Role] = Counter()
        self.most: Counter[Role] = Counter()
        self.gate, self.busy = asyncio.Event(), asyncio.Event()
        self.gate.set()
        self._failures: list[_Failure] = []

    def answer(self, asked: Asked, inputs: Tensors) -> dict[str, NDArray[Any]]:
        """What it answers to a call; up to what is derived from it."""
        raise NotImplementedError

    def fail(
        self, error: Exception, *, version: str | None = None, model: str | None = None, after: int = 0
    ) -> None:
        """Fail the calls from now on, of a version or model where these are given, but the first `after`."""
        self._failures.append(_Failure(error, version, model, after))

    def versions_asked(self, model: str) -> list[str | None]:
        """The versions that calls of a model asked for, in their order."""
        return [each.version for each in self.asked if each.model == model]

    async def versions(self, model: str) -> tuple[str, ...]:
        self.looks += 1
        if self.ready is None:
            raise ModelUnavailableError("away")
        return self.ready_of.get(model, self.ready)

    async def infer(
        self, contract: ModelContract, version: str | None, inputs: Tensors, role: Role = Role.STABLE
    ) -> dict[str, NDArray[Any]]:
        asked = Asked(contract.model, version, role)
        self.asked.append(asked)
        self.now[role] += 1
        self.most[role] = max(self.most[role], self.now[role])
        if self.now.total() >= self.busy_at:
            self.busy.set()
        try:
            await asyncio.sleep(0.001)
            await self.gate.wait()
            for failure in self._failures:
                if failure.meets(asked, len(self.asked)):
                    raise failure.error
            return self.answer(asked, inputs)
        finally:
            self.now[role] -= 1

    async def close(self) -> None:
        pass
