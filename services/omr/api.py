"""The HTTP API of the page service: its routes, each a thin layer over the reader."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, Final

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from services.omr import answer, openapi
from services.omr.backend import Backend
from services.omr.options import Options
from services.runtime import forms
from services.runtime.answers import JSON, ZIP, AnswerFile, stem_of, zipped
from services.runtime.api import ServiceApi
from services.runtime.deadlines import in_time
from services.runtime.http import request_id, while_connected
from services.runtime.jobs.intake import JobKind
from services.runtime.negotiation import negotiated
from services.runtime.options import given
from services.runtime.settings import Settings

PNG: Final = "image/png"
_FEWER: Final = "fewer pages"


def _kind(settings: Settings) -> forms.UploadKind:
    return forms.UploadKind(
        what="page",
        example="page.png",
        max_files=settings.max_pages,
        when_too_large="Send fewer pages at once, or compress them (png, jpg or tiff with compression).",
    )


class PageApi(ServiceApi[Backend]):
    """The routes of one serving process."""

    title = "recognition"
    jobs = JobKind(
        service="omr",
        smaller=_FEWER,
        upload=_kind,
        options=lambda texts: Options.parse(texts).texts(),
    )

    def specification(self, settings: Settings) -> dict[str, Any]:
        """Write the OpenAPI description with the limits that hold here."""
        return openapi.specification(settings)

    def routes(self) -> list[BaseRoute]:
        """List all routes."""
        return [
            Route("/v1/recognize", self.recognize, methods=["POST"]),
            Route("/v1/restore", self.restore, methods=["POST"]),
            *super().routes(),
        ]

    async def recognize(self, request: Request) -> Response:
        """Recognise the uploaded pages as one piece."""
        backend = self.working()
        media_type = negotiated(request.headers.get("Accept", "*/*"), (JSON, ZIP))
        backend.reader.check_room()
        work = _recognized(request, backend, media_type)
        return await in_time(work, backend.settings.request_timeout_s, _FEWER)

    async def restore(self, request: Request) -> Response:
        """Clean, straighten and binarise the uploaded pages."""
        backend = self.working()
        backend.reader.check_room()
        return await in_time(_restored(request, backend), backend.settings.request_timeout_s, _FEWER)


async def _recognized(request: Request, backend: Backend, media_type: str) -> Response:
    kind = _kind(backend.settings)
    form = await forms.read_form(request, kind, max_upload_bytes=backend.settings.max_upload_bytes)
    try:
        files = forms.uploads(form, kind)
        options = Options.parse(forms.texts(request, form, kind))
        stem = stem_of(files[0].filename or "", kind.what)
        sources = [file.file for file in files]
        work = backend.reader.read(sources, options, request_id=request_id(request), title=stem)
        reading = await while_connected(request, work)
    finally:
        await form.close()
    write = answer.as_zip if media_type == ZIP else answer.as_json
    # Kept off the event loop: a hundred pages are many megabytes of text.
    write = partial(write, reading, request_id(request), stem, explain=options.explain)
    return Response(await asyncio.to_thread(write), media_type=media_type)


async def _restored(request: Request, backend: Backend) -> Response:
    kind = _kind(backend.settings)
    form: FormData = await forms.read_form(request, kind, max_upload_bytes=backend.settings.max_upload_bytes)
    try:
        files = forms.uploads(form, kind)
        given(forms.texts(request, form, kind), ())
        stem = stem_of(files[0].filename or "", kind.what)
        pages = await while_connected(request, backend.reader.restore([file.file for file in files]))
    finally:
        await form.close()
    if len(pages) == 1:
        return Response(pages[0], media_type=PNG)
    names = answer.page_names(stem, ".png", len(pages))
    restored = [AnswerFile(name, "png", PNG, page) for name, page in zip(names, pages, strict=True)]
    return Response(await asyncio.to_thread(zipped, restored), media_type=ZIP)
