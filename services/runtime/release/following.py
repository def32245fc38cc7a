"""Following a manifest over everything that may happen to it."""

from __future__ import annotations

import logging

from services.errors import CopyistError
from services.runtime.release import metrics
from services.runtime.release.manifest import NOTHING_RELEASED, BadManifestError, Manifest

log = logging.getLogger("copyist.release")


class Followed:
    """Of all that is found where a manifest is kept, what is to be gone by."""

    def __init__(self) -> None:
        self._last: Manifest | None = None
        self._complaint = ""

    def news(self, text: str) -> Manifest | None:
        """Take what was found; gives it where it is another usable manifest than the last one.

        Args:
            text: the manifest; empty where there is none.
        """
        try:
            found = Manifest.decode(text) if text.strip() else NOTHING_RELEASED
        except BadManifestError as error:
            self.complain(error)
            return None
        if found.revision == 0 and self._last is not None and self._last.revision > 0:
            self.complain(BadManifestError("The release manifest was removed."))
            return None
        self._complaint = ""
        metrics.READABLE.set(1)
        if found == self._last:
            return None
        self._last = found
        return found

    def complain(self, error: CopyistError) -> None:
        """Tell, once, that the manifest cannot be used, or not be reached."""
        metrics.READABLE.set(0)
        if str(error) == self._complaint:
            return
        self._complaint = str(error)
        stays = "no release is known" if self._last is None else f"revision {self._last.revision} stays"
        log.error("the release manifest cannot be used, %s: %s", stays, error)
