"""Which service a submission is for, and what it is asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import PurePath
from typing import Any, Final

from services.client.exchange import RecognitionOptions, TranscriptionOptions
from services.client.job_exchange import JobOrder
from services.client.jobs import Service
from services.client.uploads import Source, Upload
from services.client.vocabulary import AUDIO_SUFFIXES, PAGE_SUFFIXES
from services.errors import InputError

_OPTIONS: Final[dict[Service, type[TranscriptionOptions] | type[RecognitionOptions]]] = {
    Service.RECORDINGS: TranscriptionOptions,
    Service.PAGES: RecognitionOptions,
}


def uploads_of(sources: Source | Sequence[Source], name: str | None = None) -> list[Upload]:
    """Make uploads of one file or several; `name` is the first one's.

    Raises:
        OSError: when a path cannot be read.
    """
    if isinstance(sources, Sequence) and not isinstance(sources, str | bytes | bytearray | memoryview):
        return [Upload(source, name if index == 0 else None) for index, source in enumerate(sources)]
    return [Upload(sources, name)]


def service_for(name: str) -> Service:
    """Choose the service by a file's name.

    Raises:
        InputError: the name tells neither sound nor pages.
    """
    suffix = PurePath(name).suffix.lower()
    if suffix in AUDIO_SUFFIXES:
        return Service.RECORDINGS
    if suffix in PAGE_SUFFIXES:
        return Service.PAGES
    raise InputError(
        f"The name {name!r} tells neither a recording nor a page.",
        remedy="Say which service is to do it: amt (recordings) or omr (pages).",
    )


def order(
    uploads: Sequence[Upload],
    service: Service | str | None,
    formats: str | Iterable[str],
    options: dict[str, Any],
    *,
    idempotency_key: str | None = None,
    webhook: str | None = None,
) -> JobOrder:
    """Write an order.

    Args:
        uploads: the files, in order.
        service: which service is to do it; None chooses by the first file's name.
        formats: the files wanted.
        options: the others, by name; None is not said.
        idempotency_key, webhook: as `Copyist.submit`.

    Raises:
        InputError: an option that the service does not have, a service that does not exist, or a name that
            tells none.
    """
    if service is not None and service not in tuple(Service):
        raise InputError(
            f"There is no service {service!r}.", remedy="Choose amt (recordings) or omr (pages)."
        )
    chosen = Service(service) if service is not None else service_for(uploads[0].name)
    said = {name: value for name, value in options.items() if value is not None}
    kind = _OPTIONS[chosen]
    for name in said:
        if name not in {field.name for field in fields(kind)}:
            raise InputError(
                f"{name!r} is no option of {chosen.name.lower()}.",
                remedy=f"Leave it out, or choose the other service ({uploads[0].name} went to {chosen}).",
            )
    texts = kind(formats=formats, **said).fields()
    if webhook is not None:
        texts["webhook"] = webhook
    return JobOrder(chosen, uploads, texts, idempotency_key)
