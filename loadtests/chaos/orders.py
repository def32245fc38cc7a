"""The jobs of a chaos test: what is sent, how it is handed in whatever dies meanwhile, what comes back."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import httpx
import PIL.Image

from loadtests.chaos.site import Site
from loadtests.samples import SAMPLES, SHORT_PAGE_PX, File, recording

RECORDING_S: Final = 8.0
#: A PDF takes long enough to die in; those of two runs differ, as each says when it was made.
FORMATS: Final = "midi,musicxml,pdf"
COMPARED: Final = ("midi", "musicxml")
#: Contents of each service, used in turn; no two alike.
CONTENTS: Final = 5
#: How long a caller goes on when a service is away or busy.
PATIENCE_S: Final = 120.0
_AT_ONCE: Final = 8


class RefusedError(Exception):
    """A job could not be handed in, or its files not be fetched, as long as the caller's patience lasted."""


@dataclass(frozen=True, slots=True)
class Order:
    """One job to be handed in.

    Attributes:
        service: who is to do it.
        content: what is sent, by its number among the service's contents.
        file: the same as a file.
        key: its Idempotency-Key.
    """

    service: str
    content: int
    file: File
    key: str


def orders(number: int, run: str, first: int = 0) -> list[Order]:
    """Make so many orders of a run, from its `first` on, of both services and all contents in turn."""
    files = {
        "amt": [recording(RECORDING_S, begin_s=4.0 * content) for content in range(CONTENTS)],
        "omr": [_page(content) for content in range(CONTENTS)],
    }
    made = []
    for index in range(first, first + number):
        service, content = ("amt", "omr")[index % 2], index // 2 % CONTENTS
        made.append(Order(service, content, files[service][content], f"{run}-{index}"))
    return made


def _page(content: int) -> File:
    """The sample page's upper system, with a little more of the page on each side for each content."""
    with PIL.Image.open(SAMPLES / "demo-page.png") as page:
        part = page.crop((4 * content, 0, page.width, SHORT_PAGE_PX - 4 * content))
    buffer = io.BytesIO()
    part.save(buffer, "PNG")
    return File("recording.png", buffer.getvalue())


class Caller:
    """Somebody who hands in jobs and does not give up when a service dies."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._client = httpx.Client(timeout=30, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def submit_all(self, all_orders: Sequence[Order]) -> list[str]:
        """Hand in several at once; gives the jobs' ids in order."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(self.submit, all_orders))

    def submit(self, order: Order) -> str:
        """Hand in a job, again and again with the same key until it is taken; gives its id."""
        post = partial(
            self._client.post,
            f"{self._site.http_url(order.service)}/v1/jobs",
            files={"file": (order.file.name, order.file.content)},
            data={"formats": FORMATS},
            headers={"Idempotency-Key": order.key},
        )
        return str(_patiently(post).json()["id"])

    def job(self, service: str, job_id: str) -> dict[str, Any]:
        """Ask how a job is."""
        url = f"{self._site.http_url(service)}/v1/jobs/{job_id}"
        return dict(_patiently(lambda: self._client.get(url)).json())

    def digests(self, service: str, job_id: str) -> dict[str, str]:
        """Download what a job made of the formats that are compared; gives the SHA-256 by format.

        Raises:
            RefusedError: the service does not give it, or not as its description says.
        """
        found = {}
        for file in self.job(service, job_id)["files"]:
            if file["format"] not in COMPARED:
                continue
            url = self._site.http_url(service) + file["href"]
            content = _patiently(lambda url=url: self._client.get(url)).content
            found[file["format"]] = hashlib.sha256(content).hexdigest()
            if found[file["format"]] != file["sha256"]:
                raise RefusedError(f"{file['name']} of job {job_id} is not what the job says it is.")
        return found


def _patiently(call: Any) -> httpx.Response:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            response: httpx.Response = call()
            if response.is_success:
                return response
            problem = f"{response.status_code} {response.text[:200]}"
            if response.status_code not in (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE):
                raise RefusedError(problem)
        except httpx.TransportError as error:
            problem = repr(error)
        if time.monotonic() > deadline:
            raise RefusedError(problem)
        time.sleep(0.5)
