"""What the door adds to an OpenAPI description: what is asked of callers, and how they are refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

SCHEMES: Final = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, or a token of the issuer that is trusted here.",
    },
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-Api-Key", "description": "An API key."},
}
#: Kinds of problem that every call may meet which needs a key.
PROBLEMS: Final = (
    "unauthenticated",
    "forbidden",
    "rate-limited",
    "database-unavailable",
    "issuer-unavailable",
)
_METHODS: Final = ("get", "head", "post", "put", "patch", "delete")


def with_door(description: Mapping[str, Any], refusals: Mapping[str, Any]) -> dict[str, Any]:
    """Say of each operation that it needs a key, unless its tag is `operation`, and how it refuses.

    Args:
        description: of the API without its door.
        refusals: the responses that stand for `PROBLEMS`.
    """
    components = {**description["components"], "securitySchemes": SCHEMES}
    return {
        **description,
        "paths": {path: _guarded(item, refusals) for path, item in description["paths"].items()},
        "components": components,
        "security": [{"bearer": []}, {"apiKey": []}],
    }


def _guarded(item: Mapping[str, Any], refusals: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _operation(part, refusals) if name in _METHODS else part for name, part in item.items()}


def _operation(operation: Mapping[str, Any], refusals: Mapping[str, Any]) -> dict[str, Any]:
    if "operation" in operation["tags"]:
        return {**operation, "security": []}
    responses = dict(operation["responses"])
    for status, refusal in refusals.items():
        stated = responses.get(status, {"description": ""})["description"]
        responses[status] = {**refusal, "description": f"{stated} {refusal['description']}".strip()}
    return {**operation, "responses": responses}
