"""Headers that tell browsers how little they may do with an answer, and which pages may ask for one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from services.runtime import docs
from services.runtime.settings import PREFIX, Settings

_ALWAYS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
#: Nothing may be loaded or run by an answer that a browser shows, an SVG file for instance.
_NOTHING: Final = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; sandbox"
#: Swagger UI's own files, its one script in the page, and calls of this very API.
_DOCS: Final = (
    f"default-src 'none'; script-src 'self' '{docs.SCRIPT_HASH}'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_PERSONAL: Final = {**_ALWAYS, "Content-Security-Policy": _NOTHING, "Cache-Control": "no-store"}
_BY_ROUTE: Final[Mapping[str, Mapping[str, str]]] = {
    docs.PAGE_PATH: {**_PERSONAL, "Content-Security-Policy": _DOCS},
    docs.ASSETS_PATH: {**_ALWAYS, "Content-Security-Policy": _NOTHING},
}

#: What pages of other origins may send, beyond what any page may.
_ASKED: Final = (
    *("Authorization", "X-Api-Key", "X-Request-Id", "Idempotency-Key", "Last-Event-ID"),
    *("Range", "If-Range", "If-None-Match", "traceparent", "tracestate"),
)
#: What they may read of an answer, beyond what any page may.
_TOLD: Final = (
    *("X-Request-Id", "Retry-After", "Location", "Link", "ETag", "Accept-Ranges", "Content-Range"),
    *("Content-Disposition", "WWW-Authenticate"),
)


def security_headers(route: str) -> Mapping[str, str]:
    """Give the headers of a route's answers, for where the answer does not set them itself."""
    return _BY_ROUTE.get(route, _PERSONAL)


def with_cors(app: ASGIApp, settings: Settings) -> ASGIApp:
    """Let pages of the origins that the settings name call an application; without any, leave it as it is.

    Credentials of the browser's own (cookies) are never asked for: keys and tokens are sent by the page.

    Raises:
        ValueError: an origin is none, or stands for all.
    """
    origins = [origin.strip() for origin in settings.cors_origins.split(",") if origin.strip()]
    for origin in origins:
        scheme, separator, host = origin.partition("://")
        if scheme not in ("http", "https") or not separator or not host or set(host) & set("/*?#@ "):
            raise ValueError(
                f"{PREFIX}CORS_ORIGINS: {origin!r} is no origin such as https://studio.example.org."
            )
    if not origins:
        return app
    options: dict[str, Any] = {"allow_methods": ["GET", "HEAD", "POST", "DELETE"], "max_age": 600}
    return CORSMiddleware(app, allow_origins=origins, allow_headers=_ASKED, expose_headers=_TOLD, **options)
