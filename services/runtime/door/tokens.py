"""Tokens of an OpenID Connect issuer (JWT, RFC 7519 and 9068)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import jwt

from services.runtime.door.issuer import ALGORITHMS, Issuer
from services.runtime.door.keys import is_name
from services.runtime.door.principal import Principal, Scope

CREDENTIAL: Final = "token"
#: Seconds that the issuer's clock and ours may differ.
_LEEWAY_S: Final = 30


class TokenCheck:
    """Checks tokens; used within one event loop."""

    def __init__(self, issuer: Issuer, audience: str, owner_claim: str) -> None:
        """Take the tokens of an issuer.

        Args:
            issuer: whose they are.
            audience: whom they must be meant for.
            owner_claim: which claim names the owner.
        """
        self._issuer = issuer
        self._audience = audience
        self._owner_claim = owner_claim

    async def principal(self, token: str) -> Principal | None:
        """Tell who calls with a token; None unless it counts.

        Raises:
            IssuerUnavailableError: its key is not known here, and the issuer does not answer.
        """
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, RecursionError):
            return None
        if header.get("alg") not in ALGORITHMS:
            return None
        key = await self._issuer.key(header.get("kid"))
        if key is None:
            return None
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=list(ALGORITHMS),
                audience=self._audience,
                issuer=self._issuer.url,
                leeway=_LEEWAY_S,
                options={"require": ["exp", "iss", "aud"], "enforce_minimum_key_length": True},
            )
        except (jwt.PyJWTError, RecursionError, OverflowError):
            return None
        return self._principal(claims)

    def _principal(self, claims: Mapping[str, Any]) -> Principal | None:
        owner = claims.get(self._owner_claim)
        if not isinstance(owner, str) or not is_name(owner):
            return None
        return Principal(owner, _scopes(claims), CREDENTIAL)


def _scopes(claims: Mapping[str, Any]) -> frozenset[Scope]:
    """Take what the token allows: `scope`, words in a text (RFC 9068), or `scp`, a text or a list."""
    stated = claims.get("scope", claims.get("scp", ""))
    words = stated.split() if isinstance(stated, str) else stated if isinstance(stated, list) else []
    return frozenset(scope for scope in Scope if scope.value in words)
