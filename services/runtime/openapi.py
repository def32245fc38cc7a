"""The parts of an OpenAPI 3.1 description that are the same for every service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from services.runtime.door import openapi as door
from services.runtime.problems import MEDIA_TYPE as PROBLEM
from services.runtime.problems import TYPE_PREFIX
from services.runtime.settings import Settings

NUMBER: Final = {"type": "number"}
INTEGER: Final = {"type": "integer"}
STRING: Final = {"type": "string"}
SHARE: Final = {"type": "number", "minimum": 0, "maximum": 1}

#: Kinds of problem that any upload may meet.
UPLOAD_PROBLEMS: Final = (
    "bad-request",
    "not-acceptable",
    "upload-too-slow",
    "too-large",
    "unreadable-media",
    "overloaded",
    "internal-error",
    "model-error",
    "model-unavailable",
    "timed-out",
)


def description(
    title: str,
    about: str,
    tag: str,
    paths: Mapping[str, Any],
    schemas: Mapping[str, Any],
    settings: Settings,
) -> dict[str, Any]:
    """Write a service's description: its own paths and schemas, and those that all services have.

    Args:
        title: what the API is called.
        about: what it does, in a sentence or two.
        tag: what its paths are grouped under.
        paths: the service's own.
        schemas: the service's own.
        settings: what holds here.
    """
    described = {
        "openapi": "3.1.0",
        "info": {
            "title": f"Copyist: {title}",
            "version": "1",
            "description": f"{about} Errors are RFC 9457 problem documents that say what is wrong and what "
            "to do. Every answer carries an `X-Request-Id`; send one to choose it.",
        },
        "paths": {
            **paths,
            "/v1/models": {"get": _models(tag)},
            "/livez": {"get": _probe("Whether the process answers", {})},
            "/readyz": {
                "get": _probe("Whether the service could do its work now", problems("model-unavailable"))
            },
            "/metrics": {
                "get": {
                    "summary": "Metrics for Prometheus",
                    "tags": ["operation"],
                    "responses": {"200": _text("Prometheus' text format")},
                }
            },
        },
        "components": {"schemas": {**schemas, **_SCHEMAS}},
    }
    return door.with_door(described, problems(*door.PROBLEMS)) if settings.auth else described


def _models(tag: str) -> dict[str, Any]:
    return {
        "summary": "List the models, an entry for each version that answers requests",
        "tags": [tag],
        "responses": {
            "200": {
                "description": "The models",
                "content": {
                    "application/json": {
                        "schema": {
                            "type": "object",
                            "required": ["models"],
                            "properties": {"models": {"type": "array", "items": schema_ref("Model")}},
                        }
                    }
                },
            },
            **problems("model-unavailable"),
        },
    }


def _probe(summary: str, problems: dict[str, Any]) -> dict[str, Any]:
    return {"summary": summary, "tags": ["operation"], "responses": {"200": _text("Yes"), **problems}}


def _text(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"text/plain": {"schema": STRING}}}


def schema_ref(name: str) -> dict[str, Any]:
    """A reference to a schema of the description."""
    return {"$ref": f"#/components/schemas/{name}"}


_PROBLEMS: Final = {
    "bad-request": (400, "The form is not as documented."),
    "unauthenticated": (401, "The request brings no credential that counts; see `WWW-Authenticate`."),
    "forbidden": (403, "The credential does not have the scope of this service."),
    "not-found": (404, "There is nothing at this address."),
    "job-not-found": (404, "There is no such job, or it is another's."),
    "not-acceptable": (406, "None of the accepted media types can be given."),
    "upload-too-slow": (408, "The upload came so slowly that it was given up."),
    "too-large": (413, "The upload exceeds a limit; the detail names it."),
    "unreadable-media": (422, "The file cannot be read, or an option does not exist."),
    "range-not-satisfiable": (416, "The range lies beyond the file's end."),
    "unknown-option": (422, "A parameter, or its value, does not exist."),
    "idempotency-conflict": (422, "The Idempotency-Key stands for another submission."),
    "webhook-refused": (422, "The webhook is not public, or cannot be signed here."),
    "overloaded": (429, "The service has no room just now; see `Retry-After`."),
    "rate-limited": (429, "The owner calls too often, or too much at once; see `Retry-After`."),
    "internal-error": (500, "A fault of the service."),
    "model-error": (502, "The model did not answer as agreed."),
    "model-unavailable": (503, "The model server is not there for the moment; see `Retry-After`."),
    "database-unavailable": (503, "The database of jobs and keys does not answer; see `Retry-After`."),
    "issuer-unavailable": (503, "The token issuer does not answer; see `Retry-After`."),
    "storage-unavailable": (503, "The storage of files does not answer, or is full; see `Retry-After`."),
    "timed-out": (504, "The request took longer than allowed."),
}


def problems(*slugs: str) -> dict[str, Any]:
    """The responses that stand for kinds of problem."""
    responses: dict[str, Any] = {}
    for slug in slugs:
        status, description = _PROBLEMS[slug]
        if str(status) in responses:
            responses[str(status)]["description"] += f" {description}"
            continue
        response: dict[str, Any] = {
            "description": description,
            "content": {PROBLEM: {"schema": schema_ref("Problem")}},
        }
        if status in (429, 503):
            response["headers"] = {"Retry-After": {"description": "seconds", "schema": INTEGER}}
        responses[str(status)] = response
    return responses


def object_of(**properties: Any) -> dict[str, Any]:
    """The schema of an object that has all of these properties."""
    return {"type": "object", "required": list(properties), "properties": properties}


def files() -> dict[str, Any]:
    """The schema of an answer's list of files."""
    return {
        "type": "array",
        "items": object_of(
            name=STRING,
            format=STRING,
            media_type=STRING,
            size={"type": "integer", "description": "bytes"},
            href={"type": "string", "description": "a data: URI; in a zip the file's name"},
        ),
    }


_SCHEMAS: Final = {
    "Model": object_of(
        name=STRING,
        version=STRING,
        ready={"type": "boolean"},
        role={"enum": ["stable", "canary"], "description": "a canary answers some requests, on trial"},
        card={"type": "object", "description": "SHA-256, data, licence and measures, as far as stated"},
    ),
    "Problem": object_of(
        type={"type": "string", "description": f"{TYPE_PREFIX}<kind>"},
        title=STRING,
        status=INTEGER,
        detail={"type": "string", "description": "what was wrong this time"},
        remedy={"type": "string", "description": "what to do about it"},
        instance={"type": "string", "description": "the request's id"},
    ),
}
