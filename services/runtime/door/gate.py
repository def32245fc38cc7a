"""The gate that every call passes, over HTTP and gRPC alike: who is it, may it, and is it too often?"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final

from services.errors import ForbiddenError, TryAgainError, UnauthenticatedError
from services.runtime.database import Database, connect
from services.runtime.door import expiry, issuer
from services.runtime.door.credentials import Credential, credential_of
from services.runtime.door.issuer import Issuer
from services.runtime.door.keyring import KeyRing
from services.runtime.door.keys import PREFIX as KEY_PREFIX
from services.runtime.door.keys import KeyStore
from services.runtime.door.limits import ConcurrencyLimit, RateLimit
from services.runtime.door.principal import ANYONE, Principal, Scope
from services.runtime.door.tokens import TokenCheck
from services.runtime.settings import PREFIX, Settings
from services.runtime.stopping import UnderWay

log = logging.getLogger("copyist.door")

_REMEDY: Final = (
    "Send an API key (`copyist keys create` makes one) or a token as `Authorization: Bearer ...`."
)


class Gate:
    """The gate of one serving process. With COPYIST_AUTH off it lets everybody in, as `ANYONE`.

    Attributes:
        settings: as the operator has them.
        scope: what callers must be allowed to do.
        under_way: what those who were let in over HTTP have asked for.
    """

    def __init__(self, settings: Settings, scope: Scope) -> None:
        """Make the gate, shut until it is opened.

        Raises:
            IssuerUrlError: the settings name an issuer that cannot be used.
        """
        self.settings = settings
        self.scope = scope
        self.under_way = UnderWay()
        self._rate = RateLimit(settings.requests_per_minute)
        most = settings.max_requests_per_owner
        self._at_once = ConcurrencyLimit(most, "calls", f"{PREFIX}MAX_REQUESTS_PER_OWNER")
        # One owner's streams must leave room for those of others.
        half = max(1, settings.max_event_streams // 2)
        self._streams = ConcurrencyLimit(half, "event streams", f"half of {PREFIX}MAX_EVENT_STREAMS")
        self._database: Database | None = None
        self._keys: KeyRing | None = None
        self._issuer: Issuer | None = None
        self._tokens: TokenCheck | None = None
        self._telling: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to let callers in, within the event loop that serves them.

        Raises:
            DatabaseUrlError: the settings name a database that cannot be meant.
            IssuerUrlError: the settings name an issuer that cannot be used.
        """
        issuer.declare()
        expiry.tell({})
        if not self.settings.auth:
            _warn_if_anybody_may_call(self.settings.host)
            return
        if self.settings.oidc_issuer:
            self._issuer = Issuer(self.settings.oidc_issuer)
            audience, owner_claim = self.settings.oidc_audience, self.settings.oidc_owner_claim
            self._tokens = TokenCheck(self._issuer, audience, owner_claim)
        self._database = await asyncio.to_thread(connect, self.settings.database_url)
        self._keys = KeyRing(KeyStore(self._database))
        self._keys.open()
        self._telling = asyncio.create_task(expiry.tell_now_and_then(self._database))

    async def close(self) -> None:
        """Let go of database and issuer."""
        if self._telling is not None:
            self._telling.cancel()
        if self._keys is not None:
            await self._keys.close()
        if self._issuer is not None:
            await self._issuer.close()
        if self._database is not None:
            await asyncio.to_thread(self._database.close)

    @asynccontextmanager
    async def passing(
        self, headers: Iterable[tuple[str, str]], *, stream: bool = False
    ) -> AsyncIterator[Principal]:
        """Let a call in for as long as the block takes.

        Args:
            headers: the call's headers or metadata, by names in lower case.
            stream: whether it is one of those that stay for hours, and cost little.

        Raises:
            UnauthenticatedError: the caller showed no key or token that counts.
            ForbiddenError: the caller may not use this service.
            RateLimitedError, OverloadedError: the owner calls too often, or too much at once.
            TryAgainError: whether the credential counts cannot be told just now.
        """
        if not self.settings.auth:
            yield ANYONE
            return
        principal = await self._principal(credential_of(headers))
        if self.scope not in principal.scopes:
            raise ForbiddenError(
                f"The credential does not have the scope {self.scope.value!r}.",
                remedy="Use one that has it, or have a key made that has.",
            )
        self._rate.take(principal.owner)
        with (self._streams if stream else self._at_once).hold(principal.owner):
            yield principal

    async def _principal(self, credential: Credential | None) -> Principal:
        if credential is None:
            raise UnauthenticatedError("The request brings no credential.", remedy=_REMEDY)
        if self._keys is None:
            raise TryAgainError("The service is starting.", remedy="Try again in a moment.")
        principal = None
        if credential.is_key or credential.text.startswith(KEY_PREFIX):
            principal = await self._keys.principal(credential.text)
        elif self._tokens is not None:
            principal = await self._tokens.principal(credential.text)
        if principal is None:
            # The same whatever is wrong: nobody learns here which keys there are, or were.
            raise UnauthenticatedError("The request's credential does not count.", remedy=_REMEDY)
        return principal


def _warn_if_anybody_may_call(host: str) -> None:
    try:
        shut_in = ipaddress.ip_address(host).is_loopback
    except ValueError:
        shut_in = host == "localhost"
    if not shut_in:
        log.warning(
            "The service listens on %s and asks nobody for a key: whoever reaches it may use it, and sees "
            "all jobs and files. Set COPYIST_AUTH=on, or COPYIST_HOST=127.0.0.1.",
            host,
        )
