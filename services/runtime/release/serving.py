"""The release that a serving process goes by: followed, and read, in threads of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Condition, Event, Thread
from typing import Any, Final

from services.errors import CopyistError, ModelUnavailableError
from services.runtime.cards import parse_card
from services.runtime.release import metrics
from services.runtime.release.artefacts import Artefacts
from services.runtime.release.board import ReleaseBoard, open_board
from services.runtime.release.index import CARD_FILE
from services.runtime.release.manifest import Manifest, ModelRelease, ModelVersion
from services.runtime.settings import Settings

log = logging.getLogger("copyist.release")

Card = Mapping[str, Any]

#: Seconds until a card that could not be read is tried again.
_AGAIN_S: Final = 5.0
#: Seconds that a request waits for a process that has just started to know the release.
_KNOWN_WITHIN_S: Final = 4.0


@dataclass(frozen=True, slots=True)
class InForce:
    """What is released of one model, as far as this process can serve it.

    Attributes:
        release: whose versions' cards have all been read; one on trial, or a shadow, whose card could not be
            read is left out of it.
        cards: by the versions' numbers.
        former: the stable version before, which goes on while the present one is not ready.
    """

    release: ModelRelease
    cards: Mapping[str, Card]
    former: ModelVersion | None = None


class Releases:
    """Follows the release of some models, until it is closed. A process has one.

    Args:
        board: where the manifest is kept.
        artefacts: where the versions' cards lie.
        models: whose releases matter here.
    """

    def __init__(self, board: ReleaseBoard, artefacts: Artefacts, models: Sequence[str]) -> None:
        self._board = board
        self._artefacts = artefacts
        self._models = models
        self._stopped, self._known = Event(), Event()
        self._news = Condition()
        self._wanted: Manifest | None = None
        #: None until the first manifest; None for a model whose release cannot be served.
        self._in_force: Mapping[str, InForce | None] | None = None
        self._complaints: set[str] = set()
        for work in (self._follow, self._adopt_each):
            Thread(target=work, name=f"release {work.__name__}", daemon=True).start()

    def of(self, model: str) -> InForce | None:
        """Tell what is released of a model; None where nothing is, and it serves as it was shipped.

        Raises:
            ModelUnavailableError: that is not known yet, or the card of the stable version cannot be read.
        """
        if self._in_force is None:
            raise ModelUnavailableError(
                "The release manifest has not been read yet.",
                remedy="Try again in a moment; if it stays so, look for it where COPYIST_RELEASE_URL points.",
            )
        if model not in self._in_force:
            return None
        found = self._in_force[model]
        if found is None:
            raise ModelUnavailableError(
                f"The card of the released version of {model} cannot be read.",
                remedy="Try again in a moment; if it stays so, look into the service's log.",
            )
        return found

    async def known(self) -> None:
        """Wait, for a few seconds at most, until the first manifest has been read."""
        if self._in_force is None:
            await asyncio.to_thread(self._known.wait, _KNOWN_WITHIN_S)

    @classmethod
    def followed(cls, settings: Settings, models: Sequence[str]) -> Releases:
        """Follow the release that the settings name.

        Raises:
            NoClusterError: it is kept in a ConfigMap, and there are no credentials for a cluster.
        """
        artefacts = Artefacts(settings.models_url, settings.model_repository)
        return cls(open_board(settings.release_url), artefacts, models)

    def close(self) -> None:
        """Follow no longer."""
        self._stopped.set()
        with self._news:
            self._news.notify_all()

    def _follow(self) -> None:
        for manifest in self._board.follow(self._stopped):
            log.info("the release is at revision %d: %s", manifest.revision, manifest.change.what)
            with self._news:
                self._wanted = manifest
                self._news.notify_all()

    def _adopt_each(self) -> None:
        adopted: Manifest | None = None
        whole = True
        while not self._stopped.is_set():
            with self._news:
                if self._wanted is adopted:
                    self._news.wait(None if whole else _AGAIN_S)
                wanted = self._wanted
            if wanted is not None and (wanted is not adopted or not whole):
                whole = self._adopt(wanted)
                adopted = wanted

    def _adopt(self, manifest: Manifest) -> bool:
        """Put a manifest in force, as far as its cards can be read; whether all could."""
        before = self._in_force or {}
        named = [model for model in self._models if model in manifest.models]
        complaints: set[str] = set()
        found = {
            model: self._servable(model, manifest.models[model], before.get(model), complaints)
            for model in named
        }
        for complaint in complaints - self._complaints:
            log.error("%s", complaint)
        self._complaints = complaints
        self._in_force = found
        self._known.set()
        metrics.REVISION.set(manifest.revision)
        return not complaints

    def _servable(
        self, model: str, release: ModelRelease, before: InForce | None, complaints: set[str]
    ) -> InForce | None:
        cards: dict[str, Card] = {}
        for _, version, _ in release.roles():
            try:
                cards[version.number] = self._card(model, version, before)
            except (CopyistError, OSError) as error:
                complaints.add(f"version {version.number} of {model} is left out: {error}")
        if release.stable.number not in cards:
            return before
        if release.canary is not None and release.canary.version.number not in cards:
            release = replace(release, canary=None)
        if release.shadow is not None and release.shadow.version.number not in cards:
            release = replace(release, shadow=None)
        former = None
        if before is not None:
            same = before.release.stable == release.stable
            former = before.former if same else before.release.stable
            if former is not None:
                cards.setdefault(former.number, before.cards[former.number])
        return InForce(release, cards, former)

    def _card(self, model: str, version: ModelVersion, before: InForce | None) -> Card:
        if before is not None and any(version == each for _, each, _ in before.release.roles()):
            return before.cards[version.number]
        content = self._artefacts.read(model, version, CARD_FILE)
        return parse_card(content, f"{CARD_FILE} of {model} {version.number}")
