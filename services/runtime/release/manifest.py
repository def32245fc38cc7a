"""The release manifest: the one source of truth for which versions of the models serve.

A model that the manifest does not name serves as it was shipped. Manifests are never changed: every step of a
release is a new one, with the next revision, and says who made it and why.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from services.errors import CopyistError

#: Hash values lie below this.
_HASHES: Final = 1 << 64


class BadManifestError(CopyistError):
    """A release manifest that cannot be read or makes no sense."""

    slug = "bad-manifest"
    title = "The release manifest cannot be used"


class Role(StrEnum):
    """What a version does in a release."""

    STABLE = "stable"
    CANARY = "canary"
    SHADOW = "shadow"


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A version of a model, and what exactly it is.

    Attributes:
        number: as Triton counts, a whole number above 0 in decimal digits.
        digest: SHA-256, in hex, of the version's index, which holds the digests of all its files.
    """

    number: str
    digest: str

    def __post_init__(self) -> None:
        if not (self.number.isascii() and self.number.isdecimal() and self.number[0] != "0"):
            raise BadManifestError(f"{self.number!r} is not the number of a version.")
        if len(self.digest) != 64 or set(self.digest) - set("0123456789abcdef"):
            raise BadManifestError(f"{self.digest!r} is not a SHA-256 digest.")


@dataclass(frozen=True, slots=True)
class Canary:
    """A version on trial: it answers some of the requests.

    Attributes:
        version: which one.
        share: of the requests, above 0, at most 1.
        since: when it was given this share.
        automatic: whether it takes larger shares, and in the end all, by itself when it does well. One that
            does badly is rolled back either way.
    """

    version: ModelVersion
    share: float
    since: datetime
    automatic: bool = True

    def __post_init__(self) -> None:
        _check_share(self.share)


@dataclass(frozen=True, slots=True)
class Shadow:
    """A version that gets copies of some of the requests and answers nobody.

    Attributes:
        version: which one.
        share: of the requests, above 0, at most 1.
    """

    version: ModelVersion
    share: float

    def __post_init__(self) -> None:
        _check_share(self.share)


@dataclass(frozen=True, slots=True)
class ModelRelease:
    """The versions of one model that serve.

    Attributes:
        stable: answers whatever the canary does not.
        canary, shadow: see there.
    """

    stable: ModelVersion
    canary: Canary | None = None
    shadow: Shadow | None = None

    def __post_init__(self) -> None:
        numbers = [version.number for _, version, _ in self.roles()]
        if len(set(numbers)) < len(numbers):
            raise BadManifestError(f"One version has two roles: {', '.join(numbers)}.")

    def roles(self) -> Iterator[tuple[Role, ModelVersion, float]]:
        """Yield each version with its role and its share of the requests."""
        canary_share = self.canary.share if self.canary else 0.0
        yield Role.STABLE, self.stable, 1.0 - canary_share
        if self.canary:
            yield Role.CANARY, self.canary.version, self.canary.share
        if self.shadow:
            yield Role.SHADOW, self.shadow.version, self.shadow.share

    def answering(self, request_id: str) -> ModelVersion:
        """Choose the version that answers a request: always the same for the same id and share.

        A request that a canary answers is also answered by it at every larger share.
        """
        if self.canary and _position("canary", request_id) < self.canary.share:
            return self.canary.version
        return self.stable

    def shadowing(self, request_id: str) -> ModelVersion | None:
        """Choose the version that gets a copy of a request, if any."""
        if self.shadow and _position("shadow", request_id) < self.shadow.share:
            return self.shadow.version
        return None


@dataclass(frozen=True, slots=True)
class Change:
    """How a manifest came to be.

    Attributes:
        at: when.
        by: who made it: a person, or a program's name.
        what: the step, such as `canary piano 4 at 5 %`.
        why: for instance what a rolled back canary did; empty where nothing was said.
    """

    at: datetime
    by: str
    what: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What serves.

    Attributes:
        revision: 0 before the first release, then counted up with each change.
        models: the releases by the models' names; a model that is not there serves as shipped.
        change: how it came to be.
    """

    revision: int
    models: Mapping[str, ModelRelease] = field(default_factory=dict)
    change: Change = Change(datetime.fromtimestamp(0, UTC), "copyist", "as shipped")

    def encode(self) -> str:
        """Write as JSON."""
        return json.dumps(
            {
                "revision": self.revision,
                "models": {model: _release_json(release) for model, release in self.models.items()},
                "change": {
                    "at": self.change.at.isoformat(),
                    "by": self.change.by,
                    "what": self.change.what,
                    "why": self.change.why,
                },
            },
            indent=1,
        )

    @staticmethod
    def decode(text: str) -> Manifest:
        """Read what `encode` wrote, or a person; `{}` is the manifest before the first release.

        Raises:
            BadManifestError: it is no manifest.
        """
        try:
            found = json.loads(text)
            if not found:
                return NOTHING_RELEASED
            change = found["change"]
            return Manifest(
                revision=int(found["revision"]),
                models={str(model): _release(said) for model, said in found["models"].items()},
                change=Change(_moment(change["at"]), change["by"], change["what"], change.get("why", "")),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadManifestError(f"The release manifest cannot be read ({error!r}).") from None


#: The manifest before the first release: every model serves as shipped.
NOTHING_RELEASED: Final = Manifest(revision=0)


def _release_json(release: ModelRelease) -> dict[str, Any]:
    said: dict[str, Any] = {"stable": _version_json(release.stable)}
    if release.canary:
        canary = release.canary
        said["canary"] = {
            **_version_json(canary.version),
            "share": canary.share,
            "since": canary.since.isoformat(),
            "automatic": canary.automatic,
        }
    if release.shadow:
        said["shadow"] = {**_version_json(release.shadow.version), "share": release.shadow.share}
    return said


def _version_json(version: ModelVersion) -> dict[str, Any]:
    return {"version": version.number, "digest": version.digest}


def _release(said: Mapping[str, Any]) -> ModelRelease:
    canary, shadow = said.get("canary"), said.get("shadow")
    return ModelRelease(
        stable=_version(said["stable"]),
        canary=Canary(
            _version(canary), float(canary["share"]), _moment(canary["since"]), canary["automatic"] is True
        )
        if canary
        else None,
        shadow=Shadow(_version(shadow), float(shadow["share"])) if shadow else None,
    )


def _version(said: Mapping[str, Any]) -> ModelVersion:
    return ModelVersion(str(said["version"]), str(said["digest"]))


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return moment


def _check_share(share: float) -> None:
    if not 0.0 < share <= 1.0:
        raise BadManifestError(f"A share of the requests is above 0 and at most 1, not {share:g}.")


def _position(purpose: str, request_id: str) -> float:
    """Where a request stands between 0 and 1, evenly spread."""
    digest = hashlib.sha256(f"{purpose} {request_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / _HASHES
