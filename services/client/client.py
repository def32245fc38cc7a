"""The clients: `Copyist` for plain code, `AsyncCopyist` for asyncio. They differ in nothing else."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import anyio
import httpx

from services.client.exchange import Api, Call, Exchange, Outcome, RecognitionOptions, TranscriptionOptions
from services.client.pages import Recognition
from services.client.results import Model, Readiness, Transcription
from services.client.retry import DEFAULT_RETRY, RetryPolicy
from services.client.uploads import Source, Upload, total_size
from services.errors import InputError

T = TypeVar("T")

DEFAULT_URL: Final = "http://127.0.0.1:3000"
DEFAULT_PAGES_URL: Final = "http://127.0.0.1:3002"


#: What both of httpx's clients are made with.
_SETTINGS: Final[dict[str, Any]] = {
    "headers": {"User-Agent": "copyist-client", "Accept": "application/json"},
    # A proxy of the environment is for the world outside: never for this very machine.
    "mounts": dict.fromkeys(("all://127.0.0.1", "all://localhost", "all://[::1]")),
}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an upload is: bytes handed to the connection, and bytes in all (None: not known).

    A retry starts over at `sent` 0. After `sent == size` comes the longer part, the transcribing.
    """

    sent: int
    size: int | None


def service_url(url: str | None = None) -> str:
    """The service's address: the one given, else `COPYIST_URL`, else this machine's own.

    Raises:
        InputError: when it is no http or https URL.
    """
    return _checked(url or os.environ.get("COPYIST_URL") or DEFAULT_URL)


def pages_service_url(url: str | None = None) -> str:
    """The page service's address: the one given, else `COPYIST_OMR_URL`, else this machine's own.

    Raises:
        InputError: when it is no http or https URL.
    """
    return _checked(url or os.environ.get("COPYIST_OMR_URL") or DEFAULT_PAGES_URL)


def _checked(url: str) -> str:
    chosen = url.rstrip("/")
    try:
        parsed = httpx.URL(chosen)
    except httpx.InvalidURL:
        parsed = httpx.URL()
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise InputError(
            f"{chosen!r} is no address of a service.",
            remedy=f"Write it with scheme and port, such as {DEFAULT_URL}.",
        )
    return chosen


class Copyist:
    """A client of Copyist. Thread-safe; keep one and close it, or use `with`.

        with Copyist() as copyist:
            heard = copyist.transcribe("prelude.flac", formats=["midi", "pdf"])
            heard.save("scores")
            seen = copyist.recognize(["page1.png", "page2.png"], formats=["musicxml", "overlay"])

    All that goes wrong raises a `CopyistError`: its `detail` says what, its `remedy` what to do.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        pages_url: str | None = None,
        timeout_s: float | None = None,
        retry: RetryPolicy = DEFAULT_RETRY,
    ) -> None:
        """Make a client; nothing is sent yet.

        Args:
            url: the service's address; by default `COPYIST_URL`, else http://127.0.0.1:3000.
            pages_url: the page service's, where it is another; by default `url` where that is given, else
                `COPYIST_OMR_URL`, else http://127.0.0.1:3002.
            timeout_s: longest wait for the answer to begin, in seconds; by default sized to the upload.
            retry: how often to try again when the service is overloaded or out of reach.

        Raises:
            InputError: when `url` is no http or https URL.
        """
        self._api = Api(service_url(url), pages_service_url(pages_url or url), retry, timeout_s)
        self._http = httpx.Client(**_SETTINGS)

    def transcribe(
        self,
        audio: Source,
        *,
        name: str | None = None,
        instrument: str = "piano",
        formats: str | Iterable[str] = (),
        tempo: float | None = None,
        quantise: str | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Transcription:
        """Have one recording written down.

        Args:
            audio: a path, the file's bytes, or a binary file, which is read from where it stands.
            name: the recording's file name; the answer's files are named after it.
            instrument: what plays; `piano`.
            formats: files to make, of `midi`, `musicxml`, `pdf`, `svg`, `json`, `csv`.
            tempo: beats a minute, when known; by default it is found.
            quantise: finest note value: `auto`, `off`, `1/8`, `1/16`, `1/32`, `1/8t` or `1/16t`.
            on_progress: told of the upload's progress, in the calling thread.

        Raises:
            CopyistError: what the service had against it (see `services.errors`), or
                `UnreachableError`, `BadAnswerError`.
            OSError: when the path or file cannot be read.
        """
        upload = Upload(audio, name)
        options = TranscriptionOptions(instrument, formats, tempo, quantise)
        return self._run(self._api.transcribe(upload, options, _telling(on_progress, [upload])))

    def recognize(
        self,
        pages: Source | Sequence[Source],
        *,
        formats: str | Iterable[str] = (),
        colour_by: str | None = None,
        explain: bool = False,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Recognition:
        """Have the pages of one piece read.

        Args:
            pages: one file or several in page order, each a path, the bytes, or a binary file: pictures
                (png, jpg, tiff, webp, bmp) or PDF, of one page or many.
            formats: files to make, of `midi`, `musicxml`, `pdf`, `svg`, `json`, `overlay`.
            colour_by: what the overlay's colours tell: `pitch`, `staff`, `duration` or `confidence`.
            explain: whether to be told what each step decided.
            on_progress: told of the upload's progress, in the calling thread.

        Raises:
            CopyistError, OSError: as `transcribe`.
        """
        uploads = _uploads(pages)
        options = RecognitionOptions(formats, colour_by, explain)
        return self._run(self._api.recognize(uploads, options, _telling(on_progress, uploads)))

    def restore(self, page: Source) -> bytes:
        """Have one page cleaned, straightened and made black and white: a PNG.

        Raises:
            CopyistError, OSError: as `transcribe`.
        """
        return self._run(self._api.restore(Upload(page)))

    def models(self) -> tuple[Model, ...]:
        """The models that the service has, one entry for each version.

        Raises:
            CopyistError: when it does not answer as it should.
        """
        return self._run(self._api.models())

    def readiness(self) -> Readiness:
        """Whether the service can transcribe just now; asks once and waits for nothing.

        Raises:
            UnreachableError: when there is no service at all.
        """
        return self._run(self._api.readiness())

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self, exchange: Exchange[T]) -> T:
        outcome: Outcome = None
        while True:
            try:
                step = exchange.send(outcome)
            except StopIteration as end:
                result: T = end.value
                return result
            if isinstance(step, Call):
                outcome = self._send(step)
            else:
                outcome = None
                time.sleep(step)

    def _send(self, call: Call) -> Outcome:
        content = None if call.body is None else iter(call.body)
        request = self._http.build_request(
            call.method, call.url, headers=call.headers, content=content, timeout=call.timeout
        )
        try:
            return self._http.send(request)
        except httpx.RequestError as error:
            return error


class AsyncCopyist:
    """The same for asyncio: one client serves any number of requests at once.

    async with AsyncCopyist() as copyist:
        one, two = await asyncio.gather(copyist.transcribe("1.flac"), copyist.transcribe("2.flac"))
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        pages_url: str | None = None,
        timeout_s: float | None = None,
        retry: RetryPolicy = DEFAULT_RETRY,
    ) -> None:
        """As `Copyist`."""
        self._api = Api(service_url(url), pages_service_url(pages_url or url), retry, timeout_s)
        self._http = httpx.AsyncClient(**_SETTINGS)

    async def transcribe(
        self,
        audio: Source,
        *,
        name: str | None = None,
        instrument: str = "piano",
        formats: str | Iterable[str] = (),
        tempo: float | None = None,
        quantise: str | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Transcription:
        """As `Copyist.transcribe`; `on_progress` is called on the event loop."""
        upload = Upload(audio, name)
        options = TranscriptionOptions(instrument, formats, tempo, quantise)
        return await self._run(self._api.transcribe(upload, options, _telling(on_progress, [upload])))

    async def recognize(
        self,
        pages: Source | Sequence[Source],
        *,
        formats: str | Iterable[str] = (),
        colour_by: str | None = None,
        explain: bool = False,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Recognition:
        """As `Copyist.recognize`; `on_progress` is called on the event loop."""
        uploads = _uploads(pages)
        options = RecognitionOptions(formats, colour_by, explain)
        return await self._run(self._api.recognize(uploads, options, _telling(on_progress, uploads)))

    async def restore(self, page: Source) -> bytes:
        """As `Copyist.restore`."""
        return await self._run(self._api.restore(Upload(page)))

    async def models(self) -> tuple[Model, ...]:
        """As `Copyist.models`."""
        return await self._run(self._api.models())

    async def readiness(self) -> Readiness:
        """As `Copyist.readiness`."""
        return await self._run(self._api.readiness())

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _run(self, exchange: Exchange[T]) -> T:
        outcome: Outcome = None
        while True:
            try:
                step = exchange.send(outcome)
            except StopIteration as end:
                result: T = end.value
                return result
            if isinstance(step, Call):
                outcome = await self._send(step)
            else:
                outcome = None
                await anyio.sleep(step)

    async def _send(self, call: Call) -> Outcome:
        content = None if call.body is None else aiter(call.body)
        request = self._http.build_request(
            call.method, call.url, headers=call.headers, content=content, timeout=call.timeout
        )
        try:
            return await self._http.send(request)
        except httpx.RequestError as error:
            return error


def _uploads(pages: Source | Sequence[Source]) -> list[Upload]:
    several = isinstance(pages, Sequence) and not isinstance(pages, str | bytes | bytearray | memoryview)
    return [Upload(page) for page in pages] if several else [Upload(pages)]  # type: ignore[arg-type, union-attr]


def _telling(
    on_progress: Callable[[Progress], None] | None, uploads: Sequence[Upload]
) -> Callable[[int], None]:
    if on_progress is None:
        return lambda sent: None
    size = total_size(uploads)
    return lambda sent: on_progress(Progress(sent, size))
