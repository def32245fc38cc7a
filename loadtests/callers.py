"""Sending one request of each way and telling what became of it.

Sockets must be gevent's: import Locust first.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import httpx
import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from loadtests.kinds import Kind
from loadtests.records import DONE, EMPTY, REFUSED
from loadtests.samples import File

#: A request is given up after so long, a job too.
LIMIT_S: Final = 600.0
FORMATS: Final = "midi,musicxml"
_ROUTES: Final = {"recording": "/v1/transcribe", "page": "/v1/recognize"}
_MODELS: Final = {"recording": "amt", "page": "omr"}

Samples = Mapping[tuple[str, str], tuple[File, ...]]


@dataclass(frozen=True, slots=True)
class Targets:
    """Where the services listen.

    Attributes:
        http: base URLs by subject, such as `http://127.0.0.1:3000` for `recording`.
        grpc: `host:port` by subject.
    """

    http: Mapping[str, str]
    grpc: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request.

    Attributes:
        outcome: as in loadtests.records.
        ended_at: when it was known, on the clock of `time.perf_counter`.
        size: of what came back, in bytes.
        version: of the model that answered, where the answer names it.
    """

    outcome: str
    ended_at: float
    size: int = 0
    version: str = ""


class Caller(Protocol):
    """Sends requests of one way."""

    def call(self, kind: Kind) -> Answer:
        """Send a request and wait for what becomes of it; never raises for what the service does."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


def _credentials() -> dict[str, str]:
    """What shows who is calling, where COPYIST_API_KEY names a key."""
    key = os.environ.get("COPYIST_API_KEY")
    return {"authorization": f"Bearer {key}"} if key else {}


def _client(most_in_flight: int) -> httpx.Client:
    limits = httpx.Limits(max_connections=most_in_flight, max_keepalive_connections=most_in_flight)
    return httpx.Client(limits=limits, timeout=LIMIT_S, trust_env=False, headers=_credentials())


class _Http:
    """What requests over HTTP have in common."""

    def __init__(self, targets: Targets, samples: Samples, most_in_flight: int) -> None:
        self._targets = targets
        self._samples = samples
        self._client = _client(most_in_flight)

    def call(self, kind: Kind) -> Answer:
        """Send a request."""
        try:
            return self._call(kind)
        except (httpx.HTTPError, _BadAnswerError) as error:
            return Answer(type(error).__name__, time.perf_counter())

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _call(self, kind: Kind) -> Answer:
        raise NotImplementedError

    def _post(self, kind: Kind, route: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        files = [("file", (file.name, file.content)) for file in self._samples[kind.subject, kind.length]]
        url = self._targets.http[kind.subject] + route
        return self._client.post(url, files=files, data={"formats": FORMATS}, headers=headers)


class HttpCaller(_Http):
    """Requests over HTTP that wait for the answer."""

    def _call(self, kind: Kind) -> Answer:
        response = self._post(kind, _ROUTES[kind.subject])
        ended_at = time.perf_counter()
        if not response.is_success:
            return Answer(_refusal(response), ended_at)
        answer = response.json()
        return Answer(_judged(answer), ended_at, len(response.content), _version(answer))


class JobCaller(_Http):
    """Jobs: submitted, followed by their events to the end, then every file downloaded."""

    def _call(self, kind: Kind) -> Answer:
        # The same content would be the same job otherwise.
        response = self._post(kind, "/v1/jobs", {"Idempotency-Key": uuid.uuid4().hex})
        if response.status_code != httpx.codes.ACCEPTED:
            return Answer(_refusal(response), time.perf_counter())
        base = httpx.URL(self._targets.http[kind.subject])
        url = base.join(response.headers["Location"])
        job = self._followed(url)
        ended_at = time.perf_counter()
        if job["state"] != "completed":
            return Answer(f"job {job['state']}", ended_at)
        return Answer(DONE, ended_at, sum(self._downloaded(base.join(file["href"])) for file in job["files"]))

    def _followed(self, url: httpx.URL) -> dict[str, Any]:
        """Wait until the stream of events ends, which it does with the job, and tell how that stands."""
        deadline = time.perf_counter() + LIMIT_S
        while time.perf_counter() < deadline:
            with self._client.stream("GET", f"{url}/events") as events:
                for _ in events.iter_bytes():
                    pass
            job = self._client.get(url).raise_for_status().json()
            if job["state"] in ("completed", "failed", "cancelled"):
                return dict(job)
            time.sleep(0.5)  # no stream to be had: too many are open
        raise _BadAnswerError("the job has not ended")

    def _downloaded(self, url: httpx.URL) -> int:
        content = self._client.get(url).raise_for_status().content
        if not content:
            raise _BadAnswerError("a file of a job is empty")
        return len(content)


class GrpcCaller:
    """Requests over gRPC, by the Open Inference Protocol."""

    def __init__(self, targets: Targets, samples: Samples) -> None:
        self._samples = samples
        self._clients = {subject: triton.InferenceServerClient(url) for subject, url in targets.grpc.items()}

    def call(self, kind: Kind) -> Answer:
        """Send a request."""
        files = self._samples[kind.subject, kind.length]
        tensor = triton.InferInput("file", [len(files)], "BYTES")
        tensor.set_data_from_numpy(np.array([file.content for file in files], object))
        outputs = [triton.InferRequestedOutput(name) for name in (*FORMATS.split(","), "notes")]
        client = self._clients[kind.subject]
        try:
            result = client.infer(
                _MODELS[kind.subject],
                [tensor],
                outputs=outputs,
                client_timeout=LIMIT_S,
                headers=_credentials(),
            )
            ended_at = time.perf_counter()
            outcome = _judged({"notes": json.loads(result.as_numpy("notes")[0])})
        except InferenceServerException as error:
            return Answer(_grpc_outcome(error), time.perf_counter())
        answer = result.get_response()
        return Answer(outcome, ended_at, answer.ByteSize(), answer.model_version)

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            client.close()


class _BadAnswerError(Exception):
    """An answer that looks well but is not."""


def _judged(answer: Mapping[str, Any]) -> str:
    return DONE if answer.get("notes") else EMPTY


def _version(answer: Mapping[str, Any]) -> str:
    return str(answer.get("model", {}).get("version", ""))


def _refusal(response: httpx.Response) -> str:
    """What went wrong: 429, or the problem's slug, or the bare status."""
    if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
        return REFUSED
    try:
        return str(response.json()["type"]).rpartition(":")[2]
    except (ValueError, KeyError, TypeError):
        return f"HTTP {response.status_code}"


def _grpc_outcome(error: InferenceServerException) -> str:
    status = str(error.status() or "unknown").removeprefix("StatusCode.")
    return REFUSED if status == "RESOURCE_EXHAUSTED" else f"gRPC {status}"
