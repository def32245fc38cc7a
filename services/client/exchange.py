"""The conversation with the service, without the network: what to send, when to wait, what it meant.

Each request is a generator that yields what has to be done next, a `Call` to send or a number of
seconds to wait, and is sent back the answer, or the httpx exception that took its place. It
returns the result or raises a `CopyistError`. The synchronous and the asynchronous client differ
only in how they do what is yielded.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import httpx

from services.client.errors import BadAnswerError
from services.client.jobs import Service
from services.client.pages import Recognition, parse_recognition
from services.client.problems import problem_of, unreachable
from services.client.results import (
    Model,
    Readiness,
    Transcription,
    parse_models,
    parse_transcription,
)
from services.client.retry import Patience, RetryPolicy, parse_retry_after
from services.client.sinks import Sink
from services.client.uploads import MultipartBody, Upload
from services.errors import CopyistError

T = TypeVar("T")

#: Failures after which the same request may well succeed: no connection, or one that broke.
RETRYABLE_FAILURES: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.ReadError,
    httpx.WriteError,
    httpx.RemoteProtocolError,
)

#: A connection is made, and a piece of the upload taken, within these.
CONNECT_S: Final = 5.0
WRITE_S: Final = 60.0
#: The answer may take `ANSWER_S`, and a second more for each 8 kB: well-compressed audio holds a second of
#: sound in 4 kB, and a slow or busy service may do no better than twice real time. Giving up on work that
#: goes well is worse than waiting, and a service tells by itself when it gives up, by default after an hour.
#: How many pages a document has, its size does not tell at all.
ANSWER_S: Final = 120.0
UPLOAD_BYTES_PER_S: Final = 8_000.0
LONGEST_ANSWER_S: Final = 3700.0


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request to make.

    Attributes:
        method, url: such as `GET` and `http://127.0.0.1:3000/readyz`.
        timeout: for each of connecting, writing and waiting for the answer.
        headers: beyond those every request has.
        body: what to upload, if anything.
        sink: takes the body of a good answer; without one, the answer holds it.
    """

    method: str
    url: str
    timeout: httpx.Timeout
    headers: dict[str, str] = field(default_factory=dict)
    body: MultipartBody | None = None
    sink: Sink | None = None


Step = Call | float
Outcome = httpx.Response | httpx.RequestError | None
Exchange = Generator[Step, Outcome, T]


@dataclass(frozen=True, slots=True)
class TranscriptionOptions:
    """The options of a transcription; None leaves the choice to the service."""

    instrument: str = "piano"
    formats: str | Iterable[str] = ()
    tempo: float | None = None
    quantise: str | None = None

    def fields(self) -> dict[str, str]:
        """The form fields that say the same."""
        fields = {"instrument": self.instrument, "formats": _joined(self.formats)}
        if self.tempo is not None:
            fields["tempo"] = f"{self.tempo:g}"
        if self.quantise is not None:
            fields["quantise"] = self.quantise
        return fields


@dataclass(frozen=True, slots=True)
class RecognitionOptions:
    """The options of a recognition; None leaves the choice to the service."""

    formats: str | Iterable[str] = ()
    colour_by: str | None = None
    explain: bool = False

    def fields(self) -> dict[str, str]:
        """The form fields that say the same."""
        fields = {"formats": _joined(self.formats), "explain": str(int(self.explain))}
        if self.colour_by is not None:
            fields["colour_by"] = self.colour_by
        return fields


def _joined(formats: str | Iterable[str]) -> str:
    return formats if isinstance(formats, str) else ",".join(formats)


@dataclass(frozen=True, slots=True)
class Api:
    """The requests of the API, as exchanges with the services.

    Attributes:
        base_url: the address asked for everything but pages.
        pages_url: the address asked to recognise pages.
        retry: how often to try again.
        timeout_s: longest wait for an answer to begin; None sizes it to the upload.
    """

    base_url: str
    pages_url: str
    retry: RetryPolicy
    timeout_s: float | None = None

    def transcribe(
        self,
        upload: Upload,
        options: TranscriptionOptions,
        on_sent: Callable[[int], None] = lambda sent: None,
    ) -> Exchange[Transcription]:
        """`POST /v1/transcribe`."""
        url = f"{self.base_url}/v1/transcribe"
        limit_s = answer_s(upload.size)
        response = yield from self.upload(url, [upload], options.fields(), limit_s, on_sent)
        return parse_transcription(json_of(response))

    def recognize(
        self,
        uploads: Sequence[Upload],
        options: RecognitionOptions,
        on_sent: Callable[[int], None] = lambda sent: None,
    ) -> Exchange[Recognition]:
        """`POST /v1/recognize`."""
        url = f"{self.pages_url}/v1/recognize"
        response = yield from self.upload(url, uploads, options.fields(), LONGEST_ANSWER_S, on_sent)
        return parse_recognition(json_of(response))

    def restore(self, upload: Upload) -> Exchange[bytes]:
        """`POST /v1/restore`, for one page."""
        response = yield from self.upload(f"{self.pages_url}/v1/restore", [upload], {}, LONGEST_ANSWER_S)
        return response.content

    def upload(
        self,
        url: str,
        uploads: Sequence[Upload],
        fields: Mapping[str, str],
        limit_s: float,
        on_sent: Callable[[int], None] = lambda sent: None,
        headers: Mapping[str, str] | None = None,
    ) -> Exchange[httpx.Response]:
        """Send files as a form, until there is a good answer."""

        def call() -> Call:
            body = MultipartBody(uploads, fields, on_sent)
            timeout = self.timeout(limit_s)
            return Call("POST", url, timeout, {**body.headers, **(headers or {})}, body)

        return self.answer(call, lambda: all(upload.replayable for upload in uploads))

    def models(self) -> Exchange[tuple[Model, ...]]:
        """`GET /v1/models`."""
        response = yield from self.answer(lambda: self._get("/v1/models"), lambda: True)
        return parse_models(json_of(response))

    def readiness(self, service: Service) -> Exchange[Readiness]:
        """`GET /readyz`, once: that it is not ready is an answer, not a failure."""
        call = self._get("/readyz", service)
        outcome = yield call
        if isinstance(outcome, httpx.Response):
            if outcome.is_success:
                return Readiness(ready=True, detail="ready")
            if outcome.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                return Readiness(ready=False, detail=problem_of(outcome).detail)
        raise self.error(outcome, call)

    def answer(self, call: Callable[[], Call], replayable: Callable[[], bool]) -> Exchange[httpx.Response]:
        """Send until there is a good answer, or trying again is pointless."""
        patience = Patience(self.retry)
        while True:
            sent = call()
            outcome = yield sent
            if isinstance(outcome, httpx.Response) and outcome.is_success:
                return outcome
            pause_s = wait_s(outcome, patience) if replayable() else None
            if pause_s is None:
                raise self.error(outcome, sent)
            yield pause_s

    def error(self, outcome: Outcome, call: Call) -> CopyistError:
        """Make the error that an outcome stands for."""
        match outcome:
            case httpx.Response():
                return problem_of(outcome)
            case httpx.RequestError():
                error = unreachable(outcome, _origin(call.url), call.timeout.read or 0.0)
                error.__cause__ = outcome
                return error
            case None:
                raise AssertionError("a call was answered by nothing")

    def url_of(self, service: Service) -> str:
        """A service's address."""
        return self.pages_url if service is Service.PAGES else self.base_url

    def _get(self, path: str, service: Service = Service.RECORDINGS) -> Call:
        return Call("GET", self.url_of(service) + path, self.timeout(10.0))

    def timeout(self, answer: float) -> httpx.Timeout:
        """How long a call may take, `answer` seconds for the wait alone."""
        return httpx.Timeout(WRITE_S, connect=CONNECT_S, read=self.timeout_s or answer)


def _origin(url: str) -> str:
    """The service's address, of a request's."""
    return url.partition("/v1/")[0].removesuffix("/readyz")


def wait_s(outcome: Outcome, patience: Patience) -> float | None:
    """How long to wait before the same request again, or None if that is pointless."""
    if isinstance(outcome, RETRYABLE_FAILURES):
        return patience.after_failure()
    if isinstance(outcome, httpx.Response):
        retry_after_s = parse_retry_after(outcome.headers.get("Retry-After"))
        if outcome.status_code == httpx.codes.TOO_MANY_REQUESTS:
            return patience.after_refusal(retry_after_s)
        if outcome.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            return patience.after_failure(retry_after_s)
    return None


def answer_s(upload_bytes: int | None) -> float:
    """How long to wait for the answer to an upload, in seconds; None is an unknown size."""
    if upload_bytes is None:
        return LONGEST_ANSWER_S
    return min(ANSWER_S + upload_bytes / UPLOAD_BYTES_PER_S, LONGEST_ANSWER_S)


def json_of(response: httpx.Response) -> Any:
    """Read an answer's JSON.

    Raises:
        BadAnswerError: it is none.
    """
    try:
        return response.json()
    except ValueError as error:
        raise BadAnswerError(
            f"{response.request.url} answered something that is no JSON ({error}).",
            remedy="Check that the address is Copyist's, and what lies in between, such as a proxy.",
        ) from error
