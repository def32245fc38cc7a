"""Where the services are, and what every connection to them is made with."""

from __future__ import annotations

import os
import re
from typing import Any, Final

import httpx

from services.errors import InputError

DEFAULT_URL: Final = "http://127.0.0.1:3000"
DEFAULT_PAGES_URL: Final = "http://127.0.0.1:3002"
_KEY: Final = re.compile(r"[\x21-\x7e]+")


def service_url(url: str | None = None) -> str:
    """The service's address: the one given, else `COPYIST_URL`, else this machine's own.

    Raises:
        InputError: when it is no http or https URL.
    """
    return _checked(url or os.environ.get("COPYIST_URL") or DEFAULT_URL)


def pages_service_url(url: str | None = None) -> str:
    """The page service's address: the one given, else `COPYIST_OMR_URL`, else this machine's own.

    Raises:
        InputError: when it is no http or https URL.
    """
    return _checked(url or os.environ.get("COPYIST_OMR_URL") or DEFAULT_PAGES_URL)


def _checked(url: str) -> str:
    chosen = url.rstrip("/")
    try:
        parsed = httpx.URL(chosen)
    except httpx.InvalidURL:
        parsed = httpx.URL()
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise InputError(
            f"{chosen!r} is no address of a service.",
            remedy=f"Write it with scheme and port, such as {DEFAULT_URL}.",
        )
    return chosen


def connection_settings(api_key: str | None = None) -> dict[str, Any]:
    """What both of httpx's clients are made with.

    Args:
        api_key: shown with every request; by default `COPYIST_API_KEY`, else none.

    Raises:
        InputError: when no header can carry the key.
    """
    headers = {"User-Agent": "copyist-client", "Accept": "application/json"}
    key = (api_key or os.environ.get("COPYIST_API_KEY") or "").strip()
    if key:
        if not _KEY.fullmatch(key):
            raise InputError("The API key holds characters that no key has.", remedy="Copy it once more.")
        headers["Authorization"] = f"Bearer {key}"
    # A proxy of the environment is for the world outside: never for this very machine.
    mounts = dict.fromkeys(("all://127.0.0.1", "all://localhost", "all://[::1]"))
    return {"headers": headers, "mounts": mounts}
