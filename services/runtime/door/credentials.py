"""What a caller shows at the door, over HTTP and gRPC alike: an API key or a token."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from services.errors import UnauthenticatedError

AUTHORIZATION: Final = "authorization"
API_KEY: Final = "x-api-key"

#: Longer than any key; tokens with many claims take a few thousand.
_LONGEST: Final = 8192
_BEARER: Final = re.compile(r"bearer +([!-~]+)", re.IGNORECASE)
_PLAIN: Final = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Credential:
    """A key or a token that has not been checked.

    Attributes:
        text: the key or token itself; never shown.
        is_key: whether it can only be a key, for where it stood.
    """

    text: str = field(repr=False)
    is_key: bool


def credential_of(headers: Iterable[tuple[str, str]]) -> Credential | None:
    """Find the caller's credential among headers, or metadata, by names in lower case; None if there is none.

    Raises:
        UnauthenticatedError: it is of a kind that is not taken, or there are several.
    """
    found = [(name, value.strip()) for name, value in headers if name in (AUTHORIZATION, API_KEY)]
    if not found:
        return None
    if len(found) > 1:
        raise UnauthenticatedError(
            "The request brings more than one credential.",
            remedy="Send one API key or token, either as `Authorization: Bearer ...` or as `X-Api-Key`.",
        )
    ((name, value),) = found
    shape = _BEARER if name == AUTHORIZATION else _PLAIN
    match = shape.fullmatch(value) if len(value) <= _LONGEST else None
    if match is None:
        raise UnauthenticatedError(
            "The request's credential is not of a form that is taken here.",
            remedy="Send an API key or a token as `Authorization: Bearer ...`, or an API key as `X-Api-Key`.",
        )
    return Credential(match[match.lastindex or 0], is_key=name == API_KEY)
