"""The steps by which a Triton server comes to match a release manifest.

Nothing is remembered that could not be found out again: each round looks at what the manifest names, what
lies in the folder and what Triton has loaded, and takes the steps between them. So a round may be broken off
anywhere, and the next one, of this process or of one after it, goes on from there.

- A version is fetched aside and renamed; it is loaded beside those that serve; only when it is ready and has
  answered once does anything else change.
- On the disk, a model's configuration names its stable version alone, once that has proven itself: a Triton
  that starts anew, maybe because a canary ended it, starts with what is known to be good. Canaries and
  shadows are named in the load request, and are loaded again in the round after.
- What the manifest names no more is unloaded once the stable version serves and nobody has asked for the old
  one for a while, and only then removed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from services.errors import CopyistError, ModelError, ModelUnavailableError
from services.runtime.release.artefacts import Artefacts
from services.runtime.release.manifest import Manifest, ModelVersion
from services.sync import metrics
from services.sync.failures import Failures, Reason, fetching_reason, loading_reason
from services.sync.folder import ModelFolder
from services.sync.leaving import Leaving
from services.sync.server import State, TritonServer

log = logging.getLogger("copyist.sync")

#: States in which Triton may still need a version's files.
_HELD: Final = (State.READY, State.LOADING, State.UNLOADING)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The versions of a model that are to serve.

    Attributes:
        stable: what answers unless another one is chosen.
        others: canary and shadow.
    """

    stable: ModelVersion
    others: tuple[ModelVersion, ...] = ()

    @property
    def all(self) -> tuple[ModelVersion, ...]:
        """All of them, the stable one first."""
        return (self.stable, *self.others)

    @property
    def numbers(self) -> frozenset[str]:
        """Their numbers."""
        return frozenset(version.number for version in self.all)


class Agent:
    """Makes one Triton server, and the folder it is given, match manifests.

    Args:
        folder: what Triton is given; kept by this agent alone.
        artefacts: where versions come from.
        server: the Triton; it may be away.
        models: the models that were shipped; others, though a manifest may name them, are left alone.
        leaving: decides when a version that is no longer named may go.
    """

    def __init__(
        self,
        folder: ModelFolder,
        artefacts: Artefacts,
        server: TritonServer,
        models: tuple[str, ...],
        leaving: Leaving,
    ) -> None:
        self._folder = folder
        self._artefacts = artefacts
        self._server = server
        self._shipped = {model: artefacts.shipped(model) for model in models}
        self._leaving = leaving
        self.failures = Failures()
        #: Versions whose files were read and found right, and versions that have answered.
        self._sound: set[tuple[str, ModelVersion]] = set()
        self._proven: set[tuple[str, ModelVersion]] = set()
        self._told: set[tuple[str, str]] = set()

    def fill(self, manifest: Manifest) -> None:
        """Put into the folder what a Triton needs to start with, before one does.

        Raises:
            CopyistError: for a model there is nothing that could serve.
        """
        self._folder.set_synchronised(False)
        for model, wanted in self._wanted(manifest).items():
            stable = wanted.stable
            kept = {each for each in self._folder.named(model) if self._folder.version(model, each)}
            try:
                self._fetch(model, stable)
            except CopyistError as error:
                if not kept:
                    raise
                log.warning("%s starts with version %s: %s", model, ", ".join(sorted(kept)), error)
                self._folder.name(model, kept)
            else:
                self._folder.name(model, {stable.number})
        self._folder.set_synchronised(True)

    def round(self, manifest: Manifest) -> bool:
        """Take all steps that can be taken now towards a manifest.

        Returns:
            Whether it is wholly in force.

        Raises:
            ModelUnavailableError: Triton cannot be reached; what it serves is not known.
        """
        self._fetch_all(manifest)
        try:
            states = self._server.states()
        except ModelUnavailableError:
            # It comes back with what its configuration names, and with files that it reads anew.
            self._proven.clear()
            self._sound.clear()
            self._tell(manifest)
            raise
        done = True
        for model, wanted in self._wanted(manifest).items():
            done &= self._bring_all(model, wanted, states.get(model, {}))
            self._tell(manifest)
        return done

    def missing(self, manifest: Manifest) -> str:
        """Say which stable versions do not serve yet, and why; empty when all do."""
        reasons = []
        for model, wanted in self._wanted(manifest).items():
            if (model, wanted.stable) not in self._proven:
                failure = self.failures.of(model, wanted.stable)
                why = f": {failure.said}" if failure else ""
                reasons.append(f"{model} {wanted.stable.number} is not ready{why}")
        return "; ".join(reasons)

    def _wanted(self, manifest: Manifest) -> Mapping[str, Wanted]:
        wanted = {model: Wanted(version) for model, version in self._shipped.items()}
        for model, release in manifest.models.items():
            if model in wanted:
                others = (version for _, version, _ in release.roles() if version != release.stable)
                wanted[model] = Wanted(release.stable, tuple(others))
        return wanted

    def _fetch_all(self, manifest: Manifest) -> None:
        """Fetch what is named and not here; what cannot be had is left for later."""
        for model, wanted in self._wanted(manifest).items():
            for version in wanted.all:
                if not self.failures.waits(model, version):
                    try:
                        self._fetch(model, version)
                    except CopyistError as error:
                        self._failed(model, version, fetching_reason(error), error)

    def _fetch(self, model: str, version: ModelVersion) -> None:
        if (model, version) in self._sound:
            return
        if self._folder.version(model, version.number) != version:
            log.info("fetching %s %s", model, version.number)
            self._folder.place(model, version, self._artefacts)
            self._proven.discard((model, version))
        self._sound.add((model, version))

    def _bring_all(self, model: str, wanted: Wanted, states: Mapping[str, State]) -> bool:
        """Bring a model's versions to Triton, the stable one first, and let go of others."""
        for version in wanted.all:
            if states.get(version.number) is not State.READY:
                self._proven.discard((model, version))
            here = (model, version) in self._sound and not self.failures.waits(model, version)
            if here and (model, version) not in self._proven:
                self._bring(model, version)
            if (model, wanted.stable) not in self._proven:
                return False
        if self._folder.name(model, {wanted.stable.number}):
            log.info("%s starts with version %s from now on", model, wanted.stable.number)
        self._let_go(model, wanted)
        return all((model, each) in self._proven for each in wanted.all)

    def _bring(self, model: str, version: ModelVersion) -> None:
        """Load a version beside those that serve, and have it answer once."""
        configuration = self._folder.configuration(model)
        beside = self._server.ready(model) - {version.number}
        log.info("loading %s %s beside %s", model, version.number, ", ".join(sorted(beside)) or "none")
        try:
            self._server.load(model, configuration, beside | {version.number})
        except (ModelError, ModelUnavailableError) as error:
            self._failed(model, version, loading_reason(error), error)
            if isinstance(error, ModelUnavailableError):
                raise
            return
        try:
            self._server.try_out(configuration, version.number)
        except ModelError as error:
            self._failed(model, version, Reason.WARM_UP, error)
            if beside:
                self._server.load(model, configuration, beside)
            return
        log.info("%s %s is ready", model, version.number)
        self.failures.forget(model, version)
        self._proven.add((model, version))

    def _let_go(self, model: str, wanted: Wanted) -> None:
        """Unload what is not wanted any more, and remove what is not loaded any more."""
        states = self._server.states().get(model, {})
        ready = {number for number, state in states.items() if state is State.READY}
        leaving = ready - wanted.numbers
        self._leaving.only(model, leaving)
        gone = {
            each
            for each in leaving
            if self._leaving.may_go(model, each, self._server.inferences(model, each))
        }
        if gone:
            log.info("unloading %s %s", model, ", ".join(sorted(gone)))
            self._server.load(model, self._folder.configuration(model), ready - gone)
        held = {number for number, state in states.items() if state in _HELD}
        unneeded = self._folder.numbers(model) - wanted.numbers - held
        for number in unneeded:
            log.info("removing %s %s", model, number)
            self._folder.drop(model, number)

    def _failed(self, model: str, version: ModelVersion, reason: Reason, error: CopyistError) -> None:
        failure = self.failures.failed(model, version, reason, error)
        pause_s = failure.again_at - time.monotonic()
        log.error("%s %s (%s; again in %.0f s): %s", model, version.number, reason, pause_s, error)

    def _tell(self, manifest: Manifest) -> None:
        """Tell Prometheus of each version that is named."""
        named = set()
        for model, wanted in self._wanted(manifest).items():
            for version in wanted.all:
                named.add((model, version.number))
                failure = self.failures.of(model, version)
                metrics.READY.labels(model, version.number).set((model, version) in self._proven)
                metrics.FAILED.labels(model, version.number).set(
                    failure is not None and failure.reason.lasting
                )
        for model, number in self._told - named:
            metrics.READY.remove(model, number)
            metrics.FAILED.remove(model, number)
        self._told = named
