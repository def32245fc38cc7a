"""The HTTP API of jobs, the same for every service."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from services.errors import UnknownOptionError
from services.runtime.deadlines import in_time
from services.runtime.http import principal
from services.runtime.jobs import downloads, events
from services.runtime.jobs.desk import JobDesk
from services.runtime.jobs.intake import JobKind, take_in
from services.runtime.jobs.job import Job, JobState
from services.runtime.jobs.store import JobNotFoundError, JobPage
from services.runtime.jobs.wire import PATH, job_json, job_path
from services.runtime.options import given, one_of
from services.runtime.problems import NotFoundError
from services.runtime.streaming import StreamedResponse

DEFAULT_LIMIT: Final = 20
LARGEST_LIMIT: Final = 100
_ID: Final = re.compile(r"[0-9a-f]{32}")
#: A job changes by itself; only its files may be kept by the caller.
_NOT_STORED: Final = {"Cache-Control": "no-store"}

Endpoint = Callable[[Request], Awaitable[Response]]


class JobApi:
    """The routes of jobs in one serving process.

    Args:
        kind: what the service takes.
        desk: gives the desk; raises ModelUnavailableError while the service starts.
    """

    def __init__(self, kind: JobKind, desk: Callable[[], JobDesk]) -> None:
        self.kind = kind
        self.desk = desk

    def routes(self) -> list[BaseRoute]:
        """List all routes."""
        return [
            _route(PATH, GET=self.list, POST=self.submit),
            _route(PATH + "/{id}", GET=self.show, DELETE=self.delete),
            _route(PATH + "/{id}/events", GET=self.events),
            _route(PATH + "/{id}/files/{name}", GET=self.file),
        ]

    async def submit(self, request: Request) -> Response:
        """Take in a job; one that the owner has already is given again."""
        desk = self.desk()
        with desk.intake():
            work = take_in(request, self.kind, desk)
            job, created = await in_time(work, desk.settings.request_timeout_s, self.kind.smaller)
        return _told(job, 202 if created else 200)

    async def list(self, request: Request) -> Response:
        """List the owner's jobs, newest first."""
        said = given(request.query_params, ("state", "limit", "after"))
        states = _states(said.get("state", ""))
        page = await self.desk().list(
            principal(request).owner, states, _limit(said.get("limit")), said.get("after")
        )
        headers = dict(_NOT_STORED)
        if page.next is not None:
            headers["Link"] = f'<{PATH}?{urlencode({**said, "after": page.next})}>; rel="next"'
        return JSONResponse(_listed(page), headers=headers)

    async def show(self, request: Request) -> Response:
        """Tell how a job is."""
        _, job = await self._found(request)
        return _told(job, 200)

    async def delete(self, request: Request) -> Response:
        """Cancel a job, or remove a finished one with its files."""
        desk, job = await self._found(request)
        owner = principal(request).owner
        if job.state.finished:
            await desk.forget(owner, job.id)
            return Response(status_code=204)
        job = await desk.cancel(owner, job.id)
        return _told(job, 200 if job.state.finished else 202)

    async def events(self, request: Request) -> Response:
        """Follow a job by server-sent events."""
        desk, job = await self._found(request)
        seen = events.last_seen(request.headers.get("Last-Event-ID", ""))
        headers = {**_NOT_STORED, "X-Accel-Buffering": "no"}
        if job.state.finished and seen == job.version:
            # To a browser this says: do not ask again.
            return Response(status_code=204, headers=headers)
        if request.method == "HEAD":
            return Response(headers=headers, media_type=events.MEDIA_TYPE)
        return StreamedResponse(events.stream(desk.followers, job, seen), 200, headers, events.MEDIA_TYPE)

    async def file(self, request: Request) -> Response:
        """Give one of a job's files, or a part of it."""
        desk, job = await self._found(request)
        name = request.path_params["name"]
        for file in job.files:
            if file.name == name:
                return downloads.answer(request, file, partial(desk.read, job.id, file))
        raise NotFoundError(
            f"The job has no file of that name ({job.state.value}, {len(job.files)} files).",
            remedy="The job's `files` list those that there are.",
        )

    async def _found(self, request: Request) -> tuple[JobDesk, Job]:
        desk = self.desk()
        job_id = request.path_params["id"]
        if not _ID.fullmatch(job_id):
            raise JobNotFoundError(
                "A job's id is 32 hexadecimal digits.", remedy="See /v1/jobs for the jobs that there are."
            )
        return desk, await desk.find(principal(request).owner, job_id)


def _route(path: str, **endpoints: Endpoint) -> Route:
    """One route for all methods of an address, so that a wrong method is told all that there are."""

    async def endpoint(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        return await endpoints[method](request)

    return Route(path, endpoint, methods=list(endpoints))


def _told(job: Job, status: int) -> Response:
    headers = {**_NOT_STORED, "Location": job_path(job.id)}
    return JSONResponse(job_json(job), status, headers)


def _listed(page: JobPage) -> Mapping[str, object]:
    return {"jobs": [job_json(job) for job in page.jobs], "next": page.next}


def _states(text: str) -> list[JobState]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    return [JobState(one_of("state", name, tuple(JobState))) for name in dict.fromkeys(names)]


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if not (text.isascii() and text.isdecimal() and len(text) < 4 and 1 <= int(text) <= LARGEST_LIMIT):
        raise UnknownOptionError(
            f"limit cannot be {text[:40]!r}.", remedy=f"Give a whole number from 1 to {LARGEST_LIMIT}."
        )
    return int(text)
