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
from typing import Final

from services.errors import CopyistError, ModelError, ModelUnavailableError, OverloadedError
from services.runtime.release.artefacts import Artefacts
from services.runtime.release.manifest import Manifest, ModelVersion
from services.sync import metrics
from services.sync.failures import Failures, Reason, fetching_reason
from services.sync.folder import ModelFolder
from services.sync.leaving import Leaving
from services.sync.server import State, TritonServer
from services.sync.wanted import Wanted, wanted

log = logging.getLogger("copyist.sync")

#: States in which Triton may still need a version's files.
_HELD: Final = (State.READY, State.LOADING, State.UNLOADING)


class Agent:
    """Makes one Triton server, and the folder it is given, match manifests.

    Args:
        folder: what Triton is given; kept by this agent alone.
        artefacts: where versions come from.
        server: the Triton; it may be away.
        shipped: the versions that came with Copyist, by model; other models are left alone.
        leaving: decides when a version that is no longer named may go.
    """

    def __init__(
        self,
        folder: ModelFolder,
        artefacts: Artefacts,
        server: TritonServer,
        shipped: Mapping[str, ModelVersion],
        leaving: Leaving,
    ) -> None:
        self._folder = folder
        self._artefacts = artefacts
        self._server = server
        self._shipped = shipped
        self._leaving = leaving
        self.failures = Failures()
        #: Versions whose files were read and found right, and versions that have answered.
        self._sound: set[tuple[str, ModelVersion]] = set()
        self._proven: set[tuple[str, ModelVersion]] = set()
        self._told: set[tuple[str, str]] = set()
        self._lost = False

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
            self._lost = True
            self._proven.clear()
            self._tell(manifest)
            raise
        if self._lost:
            # It has read all files anew, so that they must be right still.
            self._lost = False
            self._sound.clear()
            self._fetch_all(manifest)
        done = True
        for model, serving in wanted(manifest, self._shipped).items():
            try:
                done &= self._bring_all(model, serving, states.get(model, {}))
            except ModelError as error:
                done = False
                log.error("%s: %s", model, error)
            self._tell(manifest)
        return done

    def missing(self, manifest: Manifest) -> str:
        """Say which stable versions do not serve yet, and why; empty when all do."""
        reasons = []
        for model, serving in wanted(manifest, self._shipped).items():
            if (model, serving.stable) not in self._proven:
                failure = self.failures.of(model, serving.stable)
                why = f": {failure.said}" if failure else ""
                reasons.append(f"{model} {serving.stable.number} is not ready{why}")
        return "; ".join(reasons)

    def _fetch_all(self, manifest: Manifest) -> None:
        """Fetch what is named and not here; what cannot be had is left for later."""
        for model, serving in wanted(manifest, self._shipped).items():
            for version in serving.all:
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

    def _bring_all(self, model: str, serving: Wanted, states: Mapping[str, State]) -> bool:
        """Bring a model's versions to Triton, the stable one first, and let go of others."""
        for version in serving.all:
            if states.get(version.number) is not State.READY:
                self._proven.discard((model, version))
            here = (model, version) in self._sound and not self.failures.waits(model, version)
            if here and (model, version) not in self._proven:
                self._bring(model, version)
            if (model, serving.stable) not in self._proven:
                return False
        if self._folder.name(model, {serving.stable.number}):
            log.info("%s starts with version %s from now on", model, serving.stable.number)
        self._let_go(model, serving)
        return all((model, each) in self._proven for each in serving.all)

    def _bring(self, model: str, version: ModelVersion) -> None:
        """Load a version beside those that serve, and have it answer once."""
        configuration = self._folder.configuration(model)
        ready = self._server.ready(model)
        beside = ready - {version.number}
        try:
            if version.number not in ready:
                log.info("loading %s %s", model, version.number)
            # Where it is ready, Triton sees for itself whether its files are those that it has loaded.
            self._server.load(model, configuration, beside | {version.number})
        except ModelUnavailableError as error:
            if version.number not in ready:
                self._failed(model, version, Reason.CRASH, error)
            raise
        except ModelError as error:
            self._failed(model, version, Reason.LOAD, error)
            return
        try:
            self._server.try_out(configuration, version.number)
        except OverloadedError:
            return  # it has no time just now: the next round asks again
        except ModelError as error:
            self._failed(model, version, Reason.WARM_UP, error)
            if beside:
                self._server.load(model, configuration, beside)
            return
        log.info("%s %s is ready", model, version.number)
        self.failures.forget(model, version)
        self._proven.add((model, version))

    def _let_go(self, model: str, serving: Wanted) -> None:
        """Unload what is not wanted any more, and remove what is not loaded any more."""
        states = self._server.states().get(model, {})
        ready = {number for number, state in states.items() if state is State.READY}
        leaving = ready - serving.numbers
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
        unneeded = self._folder.numbers(model) - serving.numbers - held
        for number in unneeded:
            log.info("removing %s %s", model, number)
            self._folder.drop(model, number)

    def _failed(self, model: str, version: ModelVersion, reason: Reason, error: CopyistError) -> None:
        failure = self.failures.failed(model, version, reason, error)
        pause_s = failure.again_at - time.monotonic()
        log.error("%s %s (%s; again in %.0f s): %s", model, version.number, reason, pause_s, error)

    def _tell(self, manifest: Manifest) -> None:
        """Tell Prometheus of each version that is named, and forget what is not."""
        named = {
            (model, version)
            for model, serving in wanted(manifest, self._shipped).items()
            for version in serving.all
        }
        self.failures.only(named)
        self._sound &= named
        for model, version in named:
            failure = self.failures.of(model, version)
            lasting = failure is not None and failure.reason.lasting
            metrics.READY.labels(model, version.number).set((model, version) in self._proven)
            metrics.FAILED.labels(model, version.number).set(lasting)
        told = {(model, version.number) for model, version in named}
        for model, number in self._told - told:
            metrics.READY.remove(model, number)
            metrics.FAILED.remove(model, number)
        self._told = told
