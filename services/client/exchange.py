"""The conversation with the service, without the network: what to send, when to wait, what it meant.

Each request is a generator that yields what has to be done next, a `Call` to send or a number of
seconds to wait, and is sent back the answer, or the httpx exception that took its place. It
returns the result or raises a `CopyistError`. The synchronous and the asynchronous client differ
only in how they do what is yielded.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import httpx

from services.client.errors import BadAnswerError
from services.client.problems import problem_of, unreachable
from services.client.results import (
    Model,
    Readiness,
    Transcription,
    parse_models,
    parse_transcription,
)
from services.client.retry import Patience, RetryPolicy, parse_retry_after
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
ANSWER_S: Final = 120.0
UPLOAD_BYTES_PER_S: Final = 8_000.0
LONGEST_ANSWER_S: Final = 3700.0


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request to make.

    Attributes:
        method, path: such as `GET` and `/readyz`.
        timeout: for each of connecting, writing and waiting for the answer.
        headers: beyond those every request has.
        body: what to upload, if anything.
    """

    method: str
    path: str
    timeout: httpx.Timeout
    headers: dict[str, str] = field(default_factory=dict)
    body: MultipartBody | None = None


Step = Call | float
Outcome = httpx.Response | httpx.RequestError | None
Exchange = Generator[Step, Outcome, T]


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a transcription; None leaves the choice to the service."""

    instrument: str = "piano"
    formats: str | Iterable[str] = ()
    tempo: float | None = None
    quantise: str | None = None

    def fields(self) -> dict[str, str]:
        """The form fields that say the same."""
        formats = self.formats if isinstance(self.formats, str) else ",".join(self.formats)
        fields = {"instrument": self.instrument, "formats": formats}
        if self.tempo is not None:
            fields["tempo"] = f"{self.tempo:g}"
        if self.quantise is not None:
            fields["quantise"] = self.quantise
        return fields


@dataclass(frozen=True, slots=True)
class Api:
    """The requests of the API, as exchanges with the service at `base_url`."""

    base_url: str
    retry: RetryPolicy
    timeout_s: float | None = None

    def transcribe(
        self, upload: Upload, options: Options, on_sent: Callable[[int], None] = lambda sent: None
    ) -> Exchange[Transcription]:
        """`POST /v1/transcribe`."""

        def call() -> Call:
            body = MultipartBody(upload, options.fields(), on_sent)
            timeout = self._timeout(answer_s(upload.size))
            return Call("POST", "/v1/transcribe", timeout, body.headers, body)

        response = yield from self._answer(call, lambda: upload.replayable)
        return parse_transcription(_json(response))

    def models(self) -> Exchange[tuple[Model, ...]]:
        """`GET /v1/models`."""
        response = yield from self._answer(lambda: self._get("/v1/models"), lambda: True)
        return parse_models(_json(response))

    def readiness(self) -> Exchange[Readiness]:
        """`GET /readyz`, once: that it is not ready is an answer, not a failure."""
        call = self._get("/readyz")
        outcome = yield call
        if isinstance(outcome, httpx.Response):
            if outcome.is_success:
                return Readiness(ready=True, detail="ready")
            if outcome.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                return Readiness(ready=False, detail=problem_of(outcome).detail)
        raise self._error(outcome, call)

    def _answer(self, call: Callable[[], Call], replayable: Callable[[], bool]) -> Exchange[httpx.Response]:
        """Send until there is a good answer, or trying again is pointless."""
        patience = Patience(self.retry)
        while True:
            sent = call()
            outcome = yield sent
            if isinstance(outcome, httpx.Response) and outcome.is_success:
                return outcome
            wait_s = _wait_s(outcome, patience) if replayable() else None
            if wait_s is None:
                raise self._error(outcome, sent)
            yield wait_s

    def _error(self, outcome: Outcome, call: Call) -> CopyistError:
        match outcome:
            case httpx.Response():
                return problem_of(outcome)
            case httpx.RequestError():
                error = unreachable(outcome, self.base_url, call.timeout.read or 0.0)
                error.__cause__ = outcome
                return error
            case None:
                raise AssertionError("a call was answered by nothing")

    def _get(self, path: str) -> Call:
        return Call("GET", path, self._timeout(10.0))

    def _timeout(self, answer: float) -> httpx.Timeout:
        return httpx.Timeout(WRITE_S, connect=CONNECT_S, read=self.timeout_s or answer)


def _wait_s(outcome: Outcome, patience: Patience) -> float | None:
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


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError as error:
        raise BadAnswerError(
            f"{response.request.url} answered something that is no JSON ({error}).",
            remedy="Check that the address is Copyist's, and what lies in between, such as a proxy.",
        ) from error
