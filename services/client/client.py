"""The client for plain code."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self, TypeVar

import httpx

from services.client.addresses import connection_settings, pages_service_url, service_url
from services.client.exchange import Api, Call, Exchange, Outcome, RecognitionOptions, TranscriptionOptions
from services.client.handles import JobHandle
from services.client.job_exchange import JobRequests
from services.client.jobs import Job, JobState, Service
from services.client.ordering import order, uploads_of
from services.client.pages import Recognition
from services.client.progress import Progress, telling
from services.client.results import Model, Readiness, Transcription
from services.client.retry import DEFAULT_RETRY, RetryPolicy
from services.client.sinks import Sink
from services.client.uploads import Source, Upload

T = TypeVar("T")


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
        api_key: str | None = None,
        timeout_s: float | None = None,
        retry: RetryPolicy = DEFAULT_RETRY,
    ) -> None:
        """Make a client; nothing is sent yet.

        Args:
            url: the service's address; by default `COPYIST_URL`, else http://127.0.0.1:3000.
            pages_url: the page service's, where it is another; by default `url` where that is given, else
                `COPYIST_OMR_URL`, else http://127.0.0.1:3002.
            api_key: shown with every request; by default `COPYIST_API_KEY`, else none.
            timeout_s: longest wait for the answer to begin, in seconds; by default sized to the upload.
            retry: how often to try again when the service is overloaded or out of reach.

        Raises:
            InputError: when `url` is no http or https URL, or `api_key` no key.
        """
        self._api = Api(service_url(url), pages_service_url(pages_url or url), retry, timeout_s)
        self._requests = JobRequests(self._api)
        self._http = httpx.Client(**connection_settings(api_key))

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
        return self._run(self._api.transcribe(upload, options, telling(on_progress, [upload])))

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
        uploads = uploads_of(pages)
        options = RecognitionOptions(formats, colour_by, explain)
        return self._run(self._api.recognize(uploads, options, telling(on_progress, uploads)))

    def restore(self, page: Source) -> bytes:
        """Have one page cleaned, straightened and made black and white: a PNG.

        Raises:
            CopyistError, OSError: as `transcribe`.
        """
        return self._run(self._api.restore(Upload(page)))

    def submit(
        self,
        files: Source | Sequence[Source],
        *,
        service: Service | str | None = None,
        name: str | None = None,
        formats: str | Iterable[str] = (),
        instrument: str | None = None,
        tempo: float | None = None,
        quantise: str | None = None,
        colour_by: str | None = None,
        explain: bool | None = None,
        idempotency_key: str | None = None,
        webhook: str | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> JobHandle:
        """Submit a job: what takes long, or is to go on when this program ends.

        The same content, name and options give the same job, unless that has failed or was cancelled.

        Args:
            files: a recording, or one file or several of pages, as for `transcribe` and `recognize`.
            service: `amt` for recordings, `omr` for pages; by default the file's name tells.
            name: the first file's name; the job's files are named after it.
            formats, instrument, tempo, quantise, colour_by, explain: as for `transcribe` and `recognize`.
            idempotency_key: names this submission: once used, it gives the same job again.
            webhook: a public address that the service tells of the job's end.
            on_progress: told of the upload's progress, in the calling thread.

        Raises:
            CopyistError, OSError: as `transcribe`.
        """
        uploads = uploads_of(files, name)
        options = {"instrument": instrument, "tempo": tempo, "quantise": quantise}
        options |= {"colour_by": colour_by, "explain": explain}
        what = order(uploads, service, formats, options, idempotency_key=idempotency_key, webhook=webhook)
        job = self._run(self._requests.submit(what, telling(on_progress, uploads)))
        return JobHandle(self._run, self._requests, job)

    def job(self, job_id: str, service: Service | str | None = None) -> JobHandle:
        """Find a job again.

        Args:
            job_id: its id.
            service: whose it is; by default each is asked.

        Raises:
            CopyistError: when there is no such job, or no answer.
        """
        job = self._run(self._requests.find(job_id, service))
        return JobHandle(self._run, self._requests, job)

    def jobs(self, service: Service | str, states: Iterable[JobState | str] = ()) -> Iterator[Job]:
        """List your jobs at a service, newest first, page after page.

        Raises:
            CopyistError: when there is no answer.
        """
        after: str | None = None
        while True:
            page = self._run(self._requests.page(Service(service), states, after))
            yield from page.jobs
            if (after := page.next) is None:
                return

    def models(self) -> tuple[Model, ...]:
        """The models that the service has, one entry for each version.

        Raises:
            CopyistError: when it does not answer as it should.
        """
        return self._run(self._api.models())

    def readiness(self, service: Service = Service.RECORDINGS) -> Readiness:
        """Whether a service can do its work just now; asks once and waits for nothing.

        Raises:
            UnreachableError: when there is no service at all.
        """
        return self._run(self._api.readiness(service))

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
            return self._http.send(request) if call.sink is None else self._pour(request, call.sink)
        except httpx.RequestError as error:
            return error

    def _pour(self, request: httpx.Request, sink: Sink) -> httpx.Response:
        response = self._http.send(request, stream=True)
        try:
            if not response.is_success:
                response.read()
                return response
            sink.begin(response)
            for piece in response.iter_bytes():
                if sink.take(piece):
                    break
            return response
        finally:
            sink.end()
            response.close()
