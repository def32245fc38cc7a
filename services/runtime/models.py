"""A model as a service sees it: the versions of it that serve, and which of them answers a request."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray
from prometheus_client import Counter, Gauge

from services.errors import (
    CopyistError,
    ModelError,
    ModelUnavailableError,
    OverloadedError,
    VersionMissingError,
)
from services.runtime import logs, model_calls, profiles
from services.runtime.cards import read_card
from services.runtime.contract import ModelContract
from services.runtime.problems import NotFoundError
from services.runtime.profiles import Edges
from services.runtime.readiness import Inference, Readiness
from services.runtime.release import metrics
from services.runtime.release.manifest import Role
from services.runtime.release.serving import Card, InForce, Releases

log = logging.getLogger("copyist.release")

#: What of a card is told to callers.
_TOLD: Final = ("sha256", "data", "licence", "measures")
_NOT_READY: Final = "not-ready"

_READY: Final = Gauge(
    "copyist_model_ready",
    "Whether a version of a model is ready on the model server, as the service sees it.",
    ["model", "version"],
    multiprocess_mode="livemin",
)
_FALLBACKS: Final = Counter(
    "copyist_release_fallbacks_total",
    "Requests that another version answered than the one that the release has for them, by that one and the "
    "reason: not-ready, version-missing, or the kind of problem that it answered with.",
    ["model", "version", "reason"],
)


@dataclass(frozen=True, slots=True)
class ServedVersion:
    """A version that serves.

    Attributes:
        number: as Triton counts.
        card: of that very version.
        role: what it does in the release.
        instead: what answers a request where this one, on trial, fails to; None where it is to fail.
    """

    number: str
    card: Card
    role: Role = Role.STABLE
    instead: ServedVersion | None = None


class CanaryFailedError(CopyistError):
    """A version on trial did not answer as it should: the one in its stead is to answer.

    Attributes:
        model: whose version it is.
    """

    def __init__(self, model: str, error: CopyistError) -> None:
        super().__init__(error.detail, remedy=error.remedy)
        self.model = model


class ServedModel:
    """A model on a model server; used inside one event loop."""

    def __init__(
        self,
        server: Inference,
        model_repository: Path,
        contract: ModelContract,
        *,
        edges: Edges | None = None,
        releases: Releases | None = None,
    ) -> None:
        """Name the model.

        Args:
            server: where it runs.
            model_repository: where it lies as it was shipped.
            contract: its tensors.
            edges: the bins of the features that its drift is watched by; None where it is not.
            releases: says which versions serve; without it, the model serves as it was shipped.
        """
        self.name = contract.model
        self._shipped_card = read_card(model_repository, self.name)
        numbers = [path.name for path in (model_repository / self.name).glob("*") if path.name.isdecimal()]
        self._shipped = max(numbers, key=int, default="")
        self._contract = contract
        self._server = server
        self._readiness = Readiness(server, self.name)
        self._edges = edges
        self._releases = releases
        self._seen: set[str] = set()
        self._declared: set[str] = set()
        self._had_share: set[tuple[str, Role]] = set()

    @property
    def shipped(self) -> bool:
        """Whether the repository holds the model's card, without which it is not meant for use."""
        return bool(self._shipped_card)

    async def serving(self) -> tuple[ServedVersion, ...]:
        """Ask the model server which versions can answer, the stable one first, and tell Prometheus.

        Raises:
            ModelUnavailableError: there is no model server, or it has no version ready that could answer.
        """
        try:
            ready = await self._readiness.look()
        except ModelUnavailableError:
            self._tell_ready(())
            raise
        self._tell_ready(ready)
        in_force = await self._in_force()
        serving = self._serving(in_force, ready)
        for version in serving:
            self._declare(version)
        self._tell_shares(in_force, serving, ready)
        return serving

    async def choose(self, request_id: str, *, begun: str = "", asked: str = "") -> ServedVersion:
        """Choose the version that answers a request; it costs microseconds.

        Args:
            request_id: the same one always goes to the same version, while the release stays the same.
            begun: the version that has begun with it, which goes on as long as it serves.
            asked: the version that its caller insists on.

        Raises:
            ModelUnavailableError: there is no model server, or it has not ready what would answer.
            NotFoundError: the version that the caller insists on does not serve.
        """
        in_force, ready = await self._in_force(), await self._readiness.versions()
        serving = self._serving(in_force, ready)
        if in_force is None and begun in ready:
            serving = (ServedVersion(begun, self._shipped_card),)
        by_number = {version.number: version for version in serving}
        if asked and asked not in by_number:
            raise NotFoundError(
                f"Version {asked!r} of {self.name} does not serve.",
                remedy=f"Leave the version out, or ask for {' or '.join(map(repr, by_number))}.",
            )
        wanted = serving[0].number if in_force is None else in_force.release.answering(request_id).number
        if asked:
            chosen = replace(by_number[asked], instead=None)
        elif begun in by_number:
            chosen = by_number[begun]
        else:
            chosen = by_number.get(wanted, serving[0])
            if chosen.number != wanted:
                _FALLBACKS.labels(self.name, wanted, _NOT_READY).inc()
        self._declare(chosen)
        logs.note(**{self.name: chosen.number})
        return chosen

    def instead_of(self, failed: ServedVersion, failure: CanaryFailedError) -> ServedVersion:
        """Give the version that is to answer in place of one on trial that failed to, and count that."""
        assert failed.instead is not None  # noqa: S101 - such failures are raised of no others
        cause = failure.__cause__
        _FALLBACKS.labels(self.name, failed.number, model_calls.kind_of(cause)).inc()
        log.warning(
            "version %s of %s answers in place of %s: %s",
            failed.instead.number,
            self.name,
            failed.number,
            cause,
        )
        logs.note(**{self.name: failed.instead.number})
        return failed.instead

    async def shadowing(self, request_id: str) -> ServedVersion | None:
        """Choose the version that gets a copy of a request once it is answered; most often None."""
        in_force = await self._in_force()
        version = None if in_force is None else in_force.release.shadowing(request_id)
        if in_force is None or version is None or version.number not in await self._readiness.versions():
            return None
        return ServedVersion(version.number, in_force.cards[version.number], Role.SHADOW)

    async def infer(self, version: ServedVersion, name: str, batch: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Run a batch through the model.

        Args:
            version: which one to ask.
            name: of the model's only input.
            batch: one item or several, of the contract's shape after the first axis.

        Returns:
            Each output of the contract, batch first.

        Raises:
            CanaryFailedError: a version on trial is missing, breaks the contract or has no room.
            ModelUnavailableError, ModelError, OverloadedError: as the model server's client says.
        """
        try:
            return await self._server.infer(self._contract, version.number, {name: batch}, version.role)
        except (ModelUnavailableError, ModelError, OverloadedError) as error:
            if isinstance(error, ModelUnavailableError):
                self._readiness.doubt()
            # Where the server itself is away, no other version would answer.
            away = isinstance(error, ModelUnavailableError) and not isinstance(error, VersionMissingError)
            if version.instead is None or away:
                raise
            raise CanaryFailedError(self.name, error) from error

    async def describe(self) -> list[dict[str, Any]]:
        """Tell of each version that answers requests, and what its card states; raises as `serving`."""
        return [
            {
                "name": self.name,
                "version": version.number,
                "ready": True,
                "role": version.role.value,
                "card": {key: version.card[key] for key in _TOLD if key in version.card},
            }
            for version in await self.serving()
        ]

    async def _in_force(self) -> InForce | None:
        if self._releases is None:
            return None
        await self._releases.known()
        return self._releases.of(self.name)

    def _serving(self, in_force: InForce | None, ready: Collection[str]) -> tuple[ServedVersion, ...]:
        """List what answers requests: the stable version, and the one on trial if it is ready."""
        if in_force is None:
            number = self._shipped if self._shipped in ready else max(ready, key=int)
            return (ServedVersion(number, self._shipped_card),)
        release, cards = in_force.release, in_force.cards
        stable = next((v for v in (release.stable, in_force.former) if v and v.number in ready), None)
        if stable is None:
            raise ModelUnavailableError(
                f"The model server does not have version {release.stable.number} of {self.name} ready, "
                "which is released.",
                remedy="Try again in a moment; if it stays so, look into the log of the model sync.",
            )
        answers = ServedVersion(stable.number, cards[stable.number])
        canary = release.canary.version.number if release.canary else ""
        if canary not in ready or canary == stable.number:
            return (answers,)
        return (answers, ServedVersion(canary, cards[canary], Role.CANARY, instead=answers))

    def _declare(self, version: ServedVersion) -> None:
        """Tell Prometheus what a version's drift is measured against, before any of it is counted."""
        if self._edges is not None and version.number not in self._declared:
            profiles.declare(self.name, version.number, version.card, self._edges)
            self._declared.add(version.number)

    def _tell_ready(self, ready: Collection[str]) -> None:
        self._seen.update(ready)
        for number in self._seen:
            _READY.labels(self.name, number).set(number in ready)

    def _tell_shares(
        self, in_force: InForce | None, serving: Sequence[ServedVersion], ready: Collection[str]
    ) -> None:
        """Tell Prometheus which shares the versions have as requests are answered now."""
        release = in_force.release if in_force else None
        canary = release.canary.share if release and release.canary and len(serving) > 1 else 0.0
        shares = {(serving[0].number, Role.STABLE): 1 - canary}
        if len(serving) > 1:
            shares[serving[1].number, Role.CANARY] = canary
        if release and release.shadow and release.shadow.version.number in ready:
            shares[release.shadow.version.number, Role.SHADOW] = release.shadow.share
        self._had_share.update(shares)
        for number, role in self._had_share:
            metrics.SHARE.labels(self.name, number, role.value).set(shares.get((number, role), 0.0))
