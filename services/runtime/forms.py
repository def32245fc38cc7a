"""Uploads: multipart forms with a limit on their bytes, their files and their texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.types import Message, Receive

from services.errors import InputError, TooLargeError

FILE_FIELD: Final = "file"
#: Room for the other fields and the frames of a multipart upload, and for each of several files.
_FORM_BYTES: Final = 1 << 16
_FRAME_BYTES: Final = 1 << 10
_MAX_FIELDS: Final = 20


@dataclass(frozen=True, slots=True)
class UploadKind:
    """What a service is sent.

    Attributes:
        what: a word for it, such as `recording`.
        example: a file name of the kind.
        max_files: how many files one request may hold.
        when_too_large: what to do with more bytes than are accepted.
    """

    what: str
    example: str
    max_files: int
    when_too_large: str


async def read_form(request: Request, kind: UploadKind, *, max_upload_bytes: int) -> FormData:
    """Read a multipart form, its files on disk beyond 1 MB; the caller must close it.

    Raises:
        TooLargeError: as soon as the body is known to exceed the limit, without reading the rest.
        InputError: not a well-formed multipart form.
    """
    content_type = request.headers.get("Content-Type", "")
    if not content_type.startswith("multipart/form-data"):
        raise InputError(
            f"The request's body is {content_type or 'of no stated type'}, not multipart/form-data.",
            remedy=f"Send the file as a form, for instance with `curl -F file=@{kind.example} URL`.",
        )
    if _charset(content_type) != b"utf-8":
        raise InputError(
            "The form's texts are not UTF-8.", remedy="Leave the charset out of the request's Content-Type."
        )
    announced = request.headers.get("Content-Length", "")
    limited = _Limited(request.receive, kind, max_upload_bytes)
    if announced.isdigit() and int(announced) > limited.max_body_bytes:
        raise limited.too_large()
    try:
        form = await Request(request.scope, limited).form(
            max_files=kind.max_files, max_fields=_MAX_FIELDS, max_part_size=_FORM_BYTES
        )
    except (HTTPException, MultiPartException) as error:
        reason = error.detail if isinstance(error, HTTPException) else error.message
        number = "one file" if kind.max_files == 1 else f"at most {kind.max_files} files"
        raise InputError(
            f"The form cannot be read: {reason}",
            remedy=f"Send {number} and at most the documented fields, as multipart/form-data.",
        ) from None
    sizes = [item.size or 0 for _, item in form.multi_items() if isinstance(item, UploadFile)]
    if sum(sizes) > max_upload_bytes:
        await form.close()
        raise limited.too_large()
    return form


def _charset(content_type: str) -> bytes:
    """Which encoding a form claims: Python has some whose decoding takes minutes, or makes no valid text."""
    _, parameters = parse_options_header(content_type)
    return parameters.get(b"charset", b"utf-8").lower()


class _Limited:
    """Receives a body, and refuses it once it is larger than the limit."""

    def __init__(self, receive: Receive, kind: UploadKind, max_upload_bytes: int) -> None:
        self.receive = receive
        self.kind = kind
        self.max_upload_bytes = max_upload_bytes
        self.max_body_bytes = max_upload_bytes + _FORM_BYTES + kind.max_files * _FRAME_BYTES
        self.received = 0

    async def __call__(self) -> Message:
        message = await self.receive()
        self.received += len(message.get("body", b""))
        if self.received > self.max_body_bytes:
            raise self.too_large()
        return message

    def too_large(self) -> TooLargeError:
        return TooLargeError(
            f"The upload is larger than the limit of {self.max_upload_bytes} bytes "
            "(COPYIST_MAX_UPLOAD_BYTES).",
            remedy=self.kind.when_too_large,
        )


def uploads(form: FormData, kind: UploadKind) -> list[UploadFile]:
    """Take the files of a form, in the order in which they were sent.

    Raises:
        InputError: there is none, there are too many, or something else stands in their place.
    """
    items = form.getlist(FILE_FIELD)
    files = [item for item in items if isinstance(item, UploadFile)]
    if not items or len(files) < len(items) or len(files) > kind.max_files:
        number = "one file" if kind.max_files == 1 else f"1 to {kind.max_files} files"
        raise InputError(
            f"The form holds no file in the field {FILE_FIELD!r}."
            if not items
            else f"The field {FILE_FIELD!r} must hold {number}; an address or a text is not fetched.",
            remedy=f"Send the {kind.what} itself, for instance with `curl -F file=@{kind.example} URL`.",
        )
    return files


def texts(request: Request, form: FormData, kind: UploadKind) -> dict[str, str]:
    """Collect the options from the form and the address; the form's win.

    Raises:
        InputError: a file stands in the place of an option.
    """
    collected = dict(request.query_params)
    for name, value in form.multi_items():
        if name == FILE_FIELD:
            continue
        if isinstance(value, UploadFile):
            raise InputError(
                f"The field {name!r} holds a file.",
                remedy=f"Send the {kind.what} in the field {FILE_FIELD!r}.",
            )
        collected[name] = value
    return collected
