"""The public keys of a token issuer (OpenID Connect), fetched when needed and kept while it is away."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import jwt
from prometheus_client import Counter

from services.errors import CopyistError, IssuerUnavailableError

log = logging.getLogger("copyist.door")

DISCOVERY: Final = "/.well-known/openid-configuration"
#: Only keys of two halves: with a shared secret, whoever can check a token can make one.
ALGORITHMS: Final = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
#: Seconds after which the keys are fetched again, beside the requests.
FRESH_S: Final = 600.0
#: Seconds that they count while the issuer does not answer.
KEPT_S: Final = 24 * 3600.0
#: Seconds between two fetches, however many tokens name unknown keys.
PAUSE_S: Final = 10.0
_TIMEOUT_S: Final = 5.0
_MOST_BYTES: Final = 1 << 20

_FETCHES: Final = Counter(
    "copyist_issuer_fetches_total", "Fetches of the token issuer's keys, by outcome.", ["outcome"]
)


class IssuerUrlError(CopyistError):
    """The setting of the issuer's address cannot be used."""

    slug = "issuer-url"
    title = "The address of the token issuer cannot be used"


class Issuer:
    """An issuer's keys; used within one event loop."""

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with no key.

        Args:
            url: the issuer, as its tokens name it: https, or http on this very machine.
            clock: tells the time in seconds.

        Raises:
            IssuerUrlError: it is neither.
        """
        _check_url(url)
        self.url = url
        self._clock = clock
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._fetched_at = self._tried_at = float("-inf")
        self._failed = False
        self._fetching: asyncio.Task[None] | None = None
        self._client = httpx.AsyncClient(timeout=_TIMEOUT_S, follow_redirects=False)

    async def close(self) -> None:
        """Close the connections."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait((self._fetching,))
        await self._client.aclose()

    async def key(self, key_id: str | None) -> jwt.PyJWK | None:
        """Give a key by its id; without one, the only key that there is; None if there is none.

        Raises:
            IssuerUnavailableError: there is none here, and the issuer does not answer.
        """
        now = self._clock()
        if now - self._fetched_at > KEPT_S:
            self._keys = {}
        found = self._find(key_id)
        if found is not None and now - self._fetched_at < FRESH_S:
            return found
        if self._fetching is None and now - self._tried_at >= PAUSE_S:
            self._tried_at = now
            self._fetching = asyncio.create_task(self._fetch())
        if found is not None:
            return found
        if self._fetching is not None:
            await asyncio.shield(self._fetching)
        if (found := self._find(key_id)) is None and self._failed:
            raise IssuerUnavailableError(
                "The keys of the token issuer cannot be fetched.", remedy="Try again in a few seconds."
            )
        return found

    def _find(self, key_id: str | None) -> jwt.PyJWK | None:
        if key_id is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(key_id)

    async def _fetch(self) -> None:
        """Fetch the keys that count now; on failure those at hand stay."""
        try:
            async with asyncio.timeout(2 * _TIMEOUT_S):
                stated = await self._get(self.url.rstrip("/") + DISCOVERY)
                if stated.get("issuer") != self.url:
                    raise ValueError(f"it calls itself {str(stated.get('issuer'))[:200]!r}")
                keys_url = str(stated["jwks_uri"])
                _check_url(keys_url)
                self._keys = _usable(await self._get(keys_url))
            self._fetched_at = self._clock()
            self._failed = False
            _FETCHES.labels("ok").inc()
        except (httpx.HTTPError, httpx.InvalidURL, CopyistError, TimeoutError, ValueError, KeyError) as error:
            self._failed = True
            _FETCHES.labels("failed").inc()
            log.warning("the keys of the token issuer cannot be fetched: %s: %s", type(error).__name__, error)
        finally:
            self._fetching = None

    async def _get(self, url: str) -> dict[str, Any]:
        content = bytearray()
        async with self._client.stream("GET", url) as answer:
            if answer.status_code != httpx.codes.OK:
                raise ValueError(f"{url} answers {answer.status_code}")
            async for block in answer.aiter_bytes():
                content += block
                if len(content) > _MOST_BYTES:
                    raise ValueError(f"{url} answers with more than {_MOST_BYTES} bytes")
        document = json.loads(content)
        if not isinstance(document, dict):
            raise ValueError(f"{url} does not answer with an object")
        return document


def declare() -> None:
    """Begin to count at 0: a counter that first appears with a value would hide it from `increase`."""
    for outcome in ("ok", "failed"):
        _FETCHES.labels(outcome)


def _usable(document: Mapping[str, Any]) -> dict[str, jwt.PyJWK]:
    """Take the keys that may sign tokens here, by their ids."""
    keys = {}
    for entry in document["keys"]:
        if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
            continue
        try:
            key = jwt.PyJWK(entry)
        except jwt.PyJWTError:
            continue  # of a kind that is not known here: others may do
        if key.algorithm_name in ALGORITHMS:
            keys[str(entry.get("kid", ""))] = key
    return keys


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and parts.hostname and _is_this_machine(parts.hostname):
        return
    raise IssuerUrlError(
        f"The token issuer's address {url[:200]!r} is not https.",
        remedy="Set COPYIST_OIDC_ISSUER to the issuer's https address, as its tokens name it.",
    )


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
