"""The HTTP API of the audio service: its routes, each a thin layer over the transcriber."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from services.amt import answer, docs, openapi
from services.amt.backend import Backend
from services.amt.options import Options
from services.errors import InputError, ModelUnavailableError
from services.runtime import metrics
from services.runtime.http import read_form, request_id, while_connected
from services.runtime.problems import NotAcceptableError, TimedOutError

FILE_FIELD: Final = "file"


class AudioApi:
    """The routes of one serving process; they work once `backend` is set."""

    def __init__(self) -> None:
        self.backend: Backend | None = None

    def _backend(self) -> Backend:
        if self.backend is None:
            raise ModelUnavailableError("The service is starting.", remedy="Try again in a moment.")
        return self.backend

    def routes(self) -> list[BaseRoute]:
        """List all routes."""
        return [
            Route("/v1/transcribe", self.transcribe, methods=["POST"]),
            Route("/v1/models", self.models, methods=["GET"]),
            Route("/livez", self.livez, methods=["GET"]),
            Route("/readyz", self.readyz, methods=["GET"]),
            Route("/metrics", self.metrics, methods=["GET"]),
            Route("/docs", self.docs, methods=["GET"]),
            Route("/docs/openapi.json", self.openapi, methods=["GET"]),
            Mount("/docs/assets", docs.assets()),
        ]

    async def transcribe(self, request: Request) -> Response:
        """Transcribe an upload."""
        backend = self._backend()
        limit_s = backend.settings.request_timeout_s
        media_type = _negotiated(request.headers.get("Accept", "*/*"))
        backend.transcriber.check_room()
        try:
            async with asyncio.timeout(limit_s):
                return await _transcribed(request, backend, media_type)
        except TimeoutError:
            raise TimedOutError(
                f"The request took longer than the limit of {limit_s} s (COPYIST_REQUEST_TIMEOUT_S).",
                remedy="Send a shorter recording, or try again when the service is less busy.",
            ) from None

    async def models(self, request: Request) -> Response:
        """List the models."""
        return JSONResponse({"models": await self._backend().models()})

    async def livez(self, request: Request) -> Response:
        """Tell that the process answers."""
        return PlainTextResponse("alive\n")

    async def readyz(self, request: Request) -> Response:
        """Tell whether a recording could be transcribed now."""
        await self._backend().check_ready()
        return PlainTextResponse("ready\n")

    async def metrics(self, request: Request) -> Response:
        """Tell the metrics to Prometheus."""
        text = await asyncio.to_thread(metrics.exposition)
        return Response(text, headers={"Content-Type": metrics.CONTENT_TYPE})

    async def docs(self, request: Request) -> Response:
        """Show the API's documentation."""
        return HTMLResponse(docs.PAGE)

    async def openapi(self, request: Request) -> Response:
        """Give the API's OpenAPI description."""
        return JSONResponse(openapi.specification(self._backend().settings))


async def _transcribed(request: Request, backend: Backend, media_type: str) -> Response:
    form = await read_form(request, max_upload_bytes=backend.settings.max_upload_bytes)
    try:
        upload = _upload(form)
        options = Options.parse(_texts(request, form))
        stem = answer.stem_of(upload.filename or "")
        work = backend.transcriber.transcribe(upload.file, options, title=stem)
        transcription = await while_connected(request, work)
    finally:
        await form.close()
    write = answer.as_zip if media_type == answer.ZIP else answer.as_json
    # Kept off the event loop: an hour's notes and pages are many megabytes of text.
    content = await asyncio.to_thread(partial(write, transcription, request_id(request), stem))
    return Response(content, media_type=media_type)


def _upload(form: FormData) -> UploadFile:
    files = form.getlist(FILE_FIELD)
    if len(files) != 1 or not isinstance(files[0], UploadFile):
        raise InputError(
            f"The form holds no file in the field {FILE_FIELD!r}."
            if not files
            else f"The field {FILE_FIELD!r} must hold one file; an address or a text is not fetched.",
            remedy="Send the recording itself, for instance with `curl -F file=@recording.mp3 URL`.",
        )
    return files[0]


def _texts(request: Request, form: FormData) -> dict[str, str]:
    """Collect the options from the form and the address; the form's win."""
    texts = dict(request.query_params)
    for name, value in form.multi_items():
        if name == FILE_FIELD:
            continue
        if isinstance(value, UploadFile):
            raise InputError(
                f"The field {name!r} holds a file.", remedy=f"Send the recording in the field {FILE_FIELD!r}."
            )
        texts[name] = value
    return texts


def _negotiated(accept: str) -> str:
    """Choose between JSON and zip by an Accept header (RFC 9110, section 12.5.1); JSON where both suit."""
    offered = (answer.JSON, answer.ZIP)
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
            f"A transcription cannot be answered as {accept}.",
            remedy=f"Accept {answer.JSON} or {answer.ZIP}.",
        )
    return best


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
