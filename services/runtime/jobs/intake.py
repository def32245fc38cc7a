"""Taking jobs in: the form, checked before anything is stored."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request

from services.errors import InputError, UnreadableMediaError
from services.runtime import forms, tracing
from services.runtime.answers import stem_of
from services.runtime.http import principal, request_id
from services.runtime.jobs.addresses import WebhookRefusedError, check_webhook_url
from services.runtime.jobs.desk import JobDesk
from services.runtime.jobs.job import Job
from services.runtime.jobs.orders import Order
from services.runtime.settings import Settings

KEY_HEADER: Final = "Idempotency-Key"
WEBHOOK_FIELD: Final = "webhook"
LONGEST_KEY: Final = 200
_KEY: Final = re.compile(rf"[\x20-\x7e]{{1,{LONGEST_KEY}}}")


@dataclass(frozen=True, slots=True)
class JobKind:
    """What a service takes as a job.

    Attributes:
        service: whose jobs, such as `amt`.
        smaller: what would take less, such as `a shorter recording`.
        upload: what is sent to it.
        options: reads options as they come over the wire, and writes them in their normal form; raises
            UnknownOptionError.
    """

    service: str
    smaller: str
    upload: Callable[[Settings], forms.UploadKind]
    options: Callable[[Mapping[str, str]], dict[str, str]]


async def take_in(request: Request, kind: JobKind, desk: JobDesk) -> tuple[Job, bool]:
    """Take in a job; tells whether it is new.

    Raises:
        InputError: the form, an option, the key or the webhook is not as documented.
        OverloadedError: there are as many unfinished jobs as there may be.
    """
    key = _key(request)
    upload_kind = kind.upload(desk.settings)
    form = await forms.read_form(request, upload_kind, max_upload_bytes=desk.settings.max_upload_bytes)
    try:
        files = forms.uploads(form, upload_kind)
        texts = forms.texts(request, form, upload_kind)
        webhook = texts.pop(WEBHOOK_FIELD, "").strip()
        options = kind.options(texts)
        if not all(file.size for file in files):
            raise UnreadableMediaError(
                "A file of the upload is empty.", remedy=f"Send a {upload_kind.what} that can be opened."
            )
        if webhook:
            await _check_webhook(webhook, desk.settings)
        order = Order(
            owner=principal(request).owner,
            key=key,
            title=stem_of(files[0].filename or "", upload_kind.what),
            options=options,
            files=[file.file for file in files],
            webhook_url=webhook,
            request_id=request_id(request),
            trace=tracing.current_traceparent(),
        )
        return await desk.submit(order)
    finally:
        await form.close()


def _key(request: Request) -> str:
    key = request.headers.get(KEY_HEADER)
    if key is not None and not _KEY.fullmatch(key):
        raise InputError(
            f"The {KEY_HEADER} is empty, longer than {LONGEST_KEY} characters, or not printable ASCII.",
            remedy="Choose a key of letters, digits and signs, such as a UUID.",
        )
    return key or ""


async def _check_webhook(url: str, settings: Settings) -> None:
    if not settings.webhook_secret:
        raise WebhookRefusedError(
            "This service takes no webhooks: it has no secret to sign them with (COPYIST_WEBHOOK_SECRET).",
            remedy="Follow the job's events, or ask for the job now and then.",
        )
    await asyncio.to_thread(check_webhook_url, url)
