"""The release manifest in a ConfigMap, for all pods of a namespace.

Its key `manifest.json` is the manifest, `history.json` the manifests as lines of JSON; both change at once,
and only if nobody has changed them since they were read. The chart makes the ConfigMap with neither: what a
chart has written once it writes again with each rollback. Its own key, `first.json`, is the manifest until
there is another.
"""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event
from typing import Final

from services.cluster.config_maps import ConfigMap, ConfigMaps
from services.cluster.connection import connect
from services.cluster.errors import ConfigMapChangedError
from services.cluster.following import WATCH_S
from services.errors import CopyistError
from services.runtime.release.board import (
    HISTORY,
    ReleaseChangedError,
    check_next,
    decode_history,
    encode_history,
    history_of,
    history_with,
)
from services.runtime.release.following import Followed
from services.runtime.release.manifest import NOTHING_RELEASED, Manifest

MANIFEST_KEY: Final = "manifest.json"
HISTORY_KEY: Final = "history.json"
FIRST_KEY: Final = "first.json"
#: Seconds until a cluster that could not be asked is asked again.
_PAUSE_S: Final = 2.0


class ConfigMapBoard:
    """A `ReleaseBoard` in a ConfigMap."""

    def __init__(self, config_maps: ConfigMaps, name: str, *, watch_s: int = WATCH_S) -> None:
        """Name the ConfigMap.

        Args:
            config_maps: of its namespace.
            name: its name.
            watch_s: seconds after which following looks whether it has been stopped, where nothing changes.
        """
        self._config_maps = config_maps
        self._name = name
        self._watch_s = watch_s

    def read(self) -> Manifest:
        """Read the manifest; the ConfigMap must be there."""
        return _manifest(self._config_maps.read(self._name))

    def write(self, manifest: Manifest) -> None:
        """Put the next manifest in force."""
        was = self._config_maps.read(self._name)
        current = _manifest(was)
        check_next(manifest, current)
        history = encode_history(history_with(manifest, current, _past(was)))
        try:
            self._config_maps.change(was, {MANIFEST_KEY: manifest.encode(), HISTORY_KEY: history})
        except ConfigMapChangedError as error:
            raise ReleaseChangedError(error.detail, remedy=error.remedy, retry_after_s=1) from None

    def history(self, limit: int = HISTORY) -> list[Manifest]:
        """List the manifest and those before it."""
        found = self._config_maps.read(self._name)
        return history_of(_manifest(found), _past(found), limit)

    def follow(self, stopped: Event) -> Iterator[Manifest]:
        """Yield the manifest in force, and each later one."""
        followed = Followed()
        while not stopped.is_set():
            try:
                for found in self._config_maps.follow(self._name, watch_s=self._watch_s):
                    manifest = followed.news(_text(found))
                    if manifest is not None:
                        yield manifest
                    if stopped.is_set():
                        return
            except CopyistError as error:
                followed.complain(error)
            stopped.wait(_PAUSE_S)


def connected(name: str) -> ConfigMapBoard:
    """Open the board in the ConfigMap of this name, with this process's own credentials.

    Raises:
        NoClusterError: there are none.
    """
    return ConfigMapBoard(ConfigMaps(connect()), name)


def _text(found: ConfigMap) -> str:
    return found.data.get(MANIFEST_KEY) or found.data.get(FIRST_KEY, "")


def _manifest(found: ConfigMap) -> Manifest:
    text = _text(found)
    return Manifest.decode(text) if text.strip() else NOTHING_RELEASED


def _past(found: ConfigMap) -> list[Manifest]:
    return decode_history(found.data.get(HISTORY_KEY, "").splitlines())
