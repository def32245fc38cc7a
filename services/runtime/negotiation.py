"""Which form an answer takes: the choice by an Accept header (RFC 9110, section 12.5.1)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from services.runtime.problems import NotAcceptableError


def negotiated(accept: str, offered: Sequence[str]) -> str:
    """Choose among media types `application/...`; the first where several suit equally.

    Raises:
        NotAcceptableError: none of them is accepted.
    """
    quality = dict.fromkeys(offered, 0.0)
    for media_range in accept.split(","):
        kind, *parameters = (part.strip().lower() for part in media_range.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                weight = _weight(parameter[2:])
        for media_type in offered:
            if kind in (media_type, "application/*", "*/*", ""):
                quality[media_type] = max(quality[media_type], weight)
    best = max(offered, key=quality.__getitem__)
    if not quality[best]:
        raise NotAcceptableError(
            f"The answer cannot be given as {accept}.", remedy=f"Accept {' or '.join(offered)}."
        )
    return best


def _weight(text: str) -> float:
    with suppress(ValueError):
        return float(text)
    return 0.0
