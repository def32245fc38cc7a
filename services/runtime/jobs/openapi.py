"""The OpenAPI 3.1 description of jobs, the same for every service but for the form that is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from services.runtime.jobs.addresses import LONGEST_URL
from services.runtime.jobs.api import DEFAULT_LIMIT, LARGEST_LIMIT
from services.runtime.jobs.intake import KEY_HEADER, LONGEST_KEY, WEBHOOK_FIELD
from services.runtime.jobs.job import JobState
from services.runtime.jobs.wire import PATH
from services.runtime.openapi import STRING, object_of, problems, schema_ref
from services.runtime.settings import Settings

_TAG: Final = "jobs"
_STARTING: Final = ("internal-error", "model-unavailable", "database-unavailable")
_INTAKE_PROBLEMS: Final = (
    *("bad-request", "upload-too-slow", "too-large", "unreadable-media", "unknown-option"),
    *(
        "idempotency-conflict",
        "webhook-refused",
        "overloaded",
        *_STARTING,
        "storage-unavailable",
        "timed-out",
    ),
)
_FILE_PROBLEMS: Final = ("not-found", "job-not-found", *_STARTING)
_COUNT: Final = {"type": "integer", "minimum": 0}
_SHA256: Final = {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "of the content, in hex"}
_ID: Final = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
_TIME_OR_NULL: Final = {"type": ["string", "null"], "format": "date-time"}


def job_paths(settings: Settings, form: Mapping[str, Any], takes: str, example: str) -> dict[str, Any]:
    """Describe the paths of jobs.

    Args:
        settings: the limits that hold here.
        form: the schema of the form that the service takes directly.
        takes: what may be uploaded, in a sentence.
        example: a call of curl that submits a job.
    """
    return {
        PATH: {"post": _submit(settings, form, takes, example), "get": _list()},
        PATH + "/{id}": {"parameters": [_job_id()], "get": _show(), "delete": _delete()},
        PATH + "/{id}/events": {"parameters": [_job_id()], "get": _events(settings)},
        PATH + "/{id}/files/{name}": {
            "parameters": [_job_id(), _parameter("path", "name", STRING, "as the job's `files` tell it")],
            "get": _file(),
            "head": _file_head(),
        },
    }


def _submit(settings: Settings, form: Mapping[str, Any], takes: str, example: str) -> dict[str, Any]:
    webhook = {
        "type": "string",
        "format": "uri",
        "maxLength": LONGEST_URL,
        "description": "A public http or https address that is told of the job's end, by a signed call.",
    }
    fields = dict(form["properties"])
    if settings.webhook_secret:  # without one, none is taken
        fields[WEBHOOK_FIELD] = webhook
    schema = {**form, "properties": fields}
    key = {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY, "pattern": "^[ -~]+$"}
    return {
        "summary": "Submit a job",
        "tags": [_TAG],
        "description": f"{takes} The files are kept until {settings.jobs_expire_days} days after the job's "
        "end, or until it is deleted. The same content, name and options of the same owner give the same "
        "job, unless that has failed or was cancelled; so does the same `Idempotency-Key`, which must not "
        f"come with other content.\n\n```\n{example}\n```",
        "parameters": [_parameter("header", KEY_HEADER, key, "names this submission", required=False)],
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}},
        "responses": {
            "202": _job("A new job; `Location` is its address"),
            "200": _job("The job that there is already"),
            **problems(*_INTAKE_PROBLEMS),
        },
    }


def _list() -> dict[str, Any]:
    states = {"type": "array", "items": {"type": "string", "enum": [state.value for state in JobState]}}
    state = _parameter("query", "state", states, "only jobs in these, separated by commas", required=False)
    after = {"type": "string", "pattern": "^[A-Za-z0-9_=-]+$"}
    limit = {"type": "integer", "minimum": 1, "maximum": LARGEST_LIMIT, "default": DEFAULT_LIMIT}
    return {
        "summary": "List your jobs, newest first",
        "tags": [_TAG],
        "parameters": [
            {**state, "style": "form", "explode": False},
            _parameter("query", "limit", limit, "most jobs to list", required=False),
            _parameter("query", "after", after, "the `next` of the page before", required=False),
        ],
        "responses": {
            "200": {
                "description": "A page of the list",
                "headers": {
                    "Link": {"description": 'the next page, `rel="next"`, if there is one', "schema": STRING}
                },
                "content": {"application/json": {"schema": schema_ref("JobPage")}},
            },
            **problems("unknown-option", *_STARTING),
        },
    }


def _show() -> dict[str, Any]:
    return {
        "summary": "Tell how a job is",
        "tags": [_TAG],
        "responses": {"200": _job("The job"), **problems("job-not-found", *_STARTING)},
    }


def _delete() -> dict[str, Any]:
    return {
        "summary": "Cancel a job, or remove a finished one and its files",
        "tags": [_TAG],
        "responses": {
            "200": _job("It waited, and is cancelled; or it has ended just now"),
            "202": _job("It runs, and will be cancelled in a moment"),
            "204": {"description": "It was finished, and is removed with its files"},
            **problems("job-not-found", *_STARTING, "storage-unavailable"),
        },
    }


def _events(settings: Settings) -> dict[str, Any]:
    kinds = ["progress", *(state.value for state in JobState if state.finished)]
    data = {"type": "string", "contentMediaType": "application/json", "contentSchema": schema_ref("Job")}
    told = {"id": STRING, "event": {"type": "string", "enum": kinds}, "data": data}
    return {
        "summary": "Follow a job by server-sent events",
        "tags": [_TAG],
        "description": "An event `progress` now and with every change, then one called by the final state: "
        "`completed`, `failed` or `cancelled`; then the stream ends. The data of each is the job as JSON, "
        "its id the job's version. A comment every 15 s keeps the connection alive. At most "
        f"{settings.max_event_streams} streams are open at once in one serving process.",
        "parameters": [
            _parameter("header", "Last-Event-ID", STRING, "the last event that was seen", required=False)
        ],
        "responses": {
            "200": {
                "description": "The events",
                "content": {"text/event-stream": {"schema": {"type": "object", "properties": told}}},
            },
            "204": {"description": "The last event seen was the job's final one: ask no more"},
            **problems("job-not-found", "overloaded", *_STARTING),
        },
    }


def _file() -> dict[str, Any]:
    content = {"*/*": {"schema": {"type": "string", "format": "binary"}}}
    headers = [
        _parameter("header", "Range", STRING, "a single range of bytes", required=False),
        _parameter("header", "If-Range", STRING, "the `ETag` that the range is of", required=False),
        _parameter("header", "If-None-Match", STRING, "the `ETag`s that you have", required=False),
    ]
    return {
        "summary": "Give one of a job's files, or a part of it",
        "tags": [_TAG],
        "description": "The `ETag` is the SHA-256 of the content.",
        "parameters": headers,
        "responses": {
            "200": {"description": "The file", "headers": _file_headers(), "content": content},
            "206": {
                "description": "The part asked for",
                "headers": {**_file_headers(), "Content-Range": {"schema": STRING}},
                "content": content,
            },
            "304": {"description": "You have it already"},
            **problems(*_FILE_PROBLEMS, "range-not-satisfiable", "storage-unavailable"),
        },
    }


def _file_head() -> dict[str, Any]:
    return {
        "summary": "Tell of one of a job's files",
        "tags": [_TAG],
        "responses": {
            "200": {"description": "There is such a file", "headers": _file_headers()},
            "304": {"description": "You have it already"},
            **problems(*_FILE_PROBLEMS),
        },
    }


def _file_headers() -> dict[str, Any]:
    return {
        "ETag": {"description": "SHA-256 of the content, quoted", "schema": STRING},
        "Content-Disposition": {"description": "the file's name", "schema": STRING},
        "Accept-Ranges": {"schema": {"const": "bytes"}},
    }


def _job(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "headers": {"Location": {"description": "the job's address", "schema": STRING}},
        "content": {"application/json": {"schema": schema_ref("Job")}},
    }


def _job_id() -> dict[str, Any]:
    return _parameter("path", "id", _ID, "the job's id")


def _parameter(
    place: str, name: str, schema: Mapping[str, Any], description: str, *, required: bool = True
) -> dict[str, Any]:
    return {"in": place, "name": name, "required": required, "schema": schema, "description": description}


JOB_SCHEMAS: Final = {
    "Job": object_of(
        id=_ID,
        service={"type": "string", "description": "`amt` or `omr`"},
        title={"type": "string", "description": "what the files are called by"},
        state={"type": "string", "enum": [state.value for state in JobState]},
        progress={"type": "integer", "minimum": 0, "maximum": 100, "description": "percent, never falling"},
        message={"type": "string", "description": "a word on what is being done"},
        cancelling={"type": "boolean", "description": "whether it was asked to end, and will in a moment"},
        attempts={**_COUNT, "description": "how often it was begun"},
        created_at={"type": "string", "format": "date-time"},
        started_at=_TIME_OR_NULL,
        finished_at=_TIME_OR_NULL,
        expires_at={**_TIME_OR_NULL, "description": "when it and its files will be forgotten"},
        options={"type": "object", "additionalProperties": STRING},
        inputs={"type": "array", "items": object_of(size=_COUNT, sha256=_SHA256)},
        files={
            "type": "array",
            "description": "complete once the job is; `answer` is the JSON answer of the direct route",
            "items": object_of(
                name=STRING,
                format=STRING,
                media_type=STRING,
                size={**_COUNT, "description": "bytes"},
                sha256=_SHA256,
                href={"type": "string", "format": "uri-reference"},
            ),
        },
        problem={
            "oneOf": [schema_ref("Problem"), {"type": "null"}],
            "description": "why it failed; null unless it has",
        },
        links=object_of(self=STRING, events=STRING),
    ),
    "JobPage": object_of(
        jobs={"type": "array", "items": schema_ref("Job")},
        next={"type": ["string", "null"], "description": "to be sent as `after`; null at the end"},
    ),
}
