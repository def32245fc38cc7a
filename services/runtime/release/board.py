"""Where the release manifest is kept, for all to read: a file, or a ConfigMap of a cluster."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Final, Protocol

from services.errors import TryAgainError
from services.runtime.release.manifest import BadManifestError, Manifest

_CONFIG_MAP: Final = "configmap://"
#: So many manifests are remembered.
HISTORY: Final = 50


class ReleaseChangedError(TryAgainError):
    """Someone else has made a release since the manifest was read: read it again, and decide again."""

    slug = "release-changed"
    title = "The release was changed by someone else"
    status = 409


class ReleaseBoard(Protocol):
    """Keeps the release manifest and those before it.

    Where it cannot be reached or read, its methods raise StorageUnavailableError, one of the errors of
    `services.cluster.errors`, or BadManifestError.
    """

    def read(self) -> Manifest:
        """Read the manifest; `NOTHING_RELEASED` where there is none."""
        ...

    def write(self, manifest: Manifest) -> None:
        """Put the next manifest in force; all see the one before it, or this one, whole.

        Raises:
            ReleaseChangedError: its revision is not one above that of the one in force.
        """
        ...

    def history(self, limit: int = HISTORY) -> list[Manifest]:
        """List the manifest and those before it, newest first; at most `HISTORY`."""
        ...

    def follow(self, stopped: Event) -> Iterator[Manifest]:
        """Yield the manifest in force, and each later one, until stopped.

        Within a second of its writing for a file; within seconds in a cluster. A manifest that cannot be
        read, is none, or was removed changes nothing: it is told in the log and in
        `copyist_release_readable`, and looked at again. A file's or a cluster's failure never ends it.
        """
        ...


def open_board(release_url: str) -> ReleaseBoard:
    """Open the place that COPYIST_RELEASE_URL names: a file, or `configmap://NAME`.

    Raises:
        NoClusterError: it is a ConfigMap, and there are no credentials for a cluster.
    """
    if release_url.startswith(_CONFIG_MAP):
        # Kubernetes' client takes half a second to load, and only processes in a cluster have it.
        from services.runtime.release.config_map_board import connected  # noqa: PLC0415

        return connected(release_url.removeprefix(_CONFIG_MAP))
    from services.runtime.release.file_board import FileBoard  # noqa: PLC0415 - it needs this module

    return FileBoard(Path(release_url))


def check_next(manifest: Manifest, current: Manifest) -> None:
    """Raise ReleaseChangedError unless a manifest follows the current one."""
    if manifest.revision != current.revision + 1:
        raise ReleaseChangedError(
            f"The release is at revision {current.revision} ({current.change.what}, by {current.change.by}); "
            f"revision {manifest.revision} does not follow it.",
            remedy="Look at it again (copyist release status), and decide again.",
            retry_after_s=1,
        )


def history_with(manifest: Manifest, current: Manifest, past: Iterable[Manifest]) -> list[Manifest]:
    """List what is remembered once a manifest has been put in force, newest first."""
    before = [current] if current.revision else []
    before += [each for each in past if each.revision < current.revision]
    return [manifest, *before[: HISTORY - 1]]


def history_of(current: Manifest, past: Iterable[Manifest], limit: int) -> list[Manifest]:
    """List the manifest in force and what is remembered of those before it, newest first.

    One that was written down but, as its writer died, never put in force is passed over.
    """
    if not current.revision:
        return []
    return [current, *(each for each in past if each.revision < current.revision)][:limit]


def decode_history(lines: Iterable[str]) -> list[Manifest]:
    """Read manifests, newest first, of lines of JSON, oldest first; one that cannot be read is left out."""
    found = []
    for line in lines:
        with suppress(BadManifestError):
            found.append(Manifest.decode(line))
    return found[::-1]


def encode_history(manifests: Sequence[Manifest]) -> str:
    """Write manifests, newest first, as lines of JSON, oldest first."""
    return "".join(json.dumps(json.loads(each.encode())) + "\n" for each in reversed(manifests))
