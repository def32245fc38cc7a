"""The HTTP API of the audio service: its routes, each a thin layer over the transcriber."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from services.amt import answer, openapi
from services.amt.backend import Backend
from services.amt.options import Options
from services.runtime import forms
from services.runtime.answers import JSON, ZIP, stem_of
from services.runtime.api import ServiceApi
from services.runtime.deadlines import in_time
from services.runtime.http import request_id, while_connected
from services.runtime.jobs.intake import JobKind
from services.runtime.negotiation import negotiated
from services.runtime.settings import Settings

RECORDING: Final = forms.UploadKind(
    what="recording",
    example="recording.mp3",
    max_files=1,
    when_too_large="Compress it (flac, ogg or mp3) or cut it into parts, and send them one by one.",
)
_SHORTER: Final = "a shorter recording"


class AudioApi(ServiceApi[Backend]):
    """The routes of one serving process."""

    title = "transcription"
    jobs = JobKind(
        service="amt",
        smaller=_SHORTER,
        upload=lambda settings: RECORDING,
        options=lambda texts: Options.parse(texts).texts(),
    )

    def specification(self, settings: Settings) -> dict[str, Any]:
        """Write the OpenAPI description with the limits that hold here."""
        return openapi.specification(settings)

    def routes(self) -> list[BaseRoute]:
        """List all routes."""
        return [Route("/v1/transcribe", self.transcribe, methods=["POST"]), *super().routes()]

    async def transcribe(self, request: Request) -> Response:
        """Transcribe an upload."""
        backend = self.working()
        media_type = negotiated(request.headers.get("Accept", "*/*"), (JSON, ZIP))
        backend.transcriber.check_room()
        work = _transcribed(request, backend, media_type)
        return await in_time(work, backend.settings.request_timeout_s, _SHORTER)


async def _transcribed(request: Request, backend: Backend, media_type: str) -> Response:
    form = await forms.read_form(request, RECORDING, max_upload_bytes=backend.settings.max_upload_bytes)
    try:
        (upload,) = forms.uploads(form, RECORDING)
        options = Options.parse(forms.texts(request, form, RECORDING))
        stem = stem_of(upload.filename or "", RECORDING.what)
        work = backend.transcriber.transcribe(
            upload.file, options, request_id=request_id(request), title=stem
        )
        transcription = await while_connected(request, work)
    finally:
        await form.close()
    write = answer.as_zip if media_type == ZIP else answer.as_json
    # Kept off the event loop: an hour's notes and pages are many megabytes of text.
    content = await asyncio.to_thread(partial(write, transcription, request_id(request), stem))
    return Response(content, media_type=media_type)
