"""The conversation about jobs, without the network: see `exchange`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import httpx

from services.client.errors import BadAnswerError, JobCancelledError
from services.client.exchange import WRITE_S, Api, Call, Exchange, json_of, wait_s
from services.client.jobs import Job, JobFile, JobPage, JobState, Service, parse_job, parse_page
from services.client.problems import problem_from
from services.client.retry import Patience
from services.client.sinks import EventSink, FileSink
from services.client.uploads import Upload
from services.errors import InputError

#: The service says something at least every 15 s while a job is followed.
SILENCE_S: Final = 45.0
#: Seconds between two questions where a job's events cannot be followed.
ASK_EVERY_S: Final = 2.0
#: Longest silence within a file.
_BLOCK_S: Final = 60.0
#: A job outlives its service's restart, so who waits for one has more patience: about a minute more.
_MORE_ATTEMPTS: Final = 5
#: Jobs asked for at once.
_PAGE: Final = 50


@dataclass(frozen=True, slots=True)
class JobOrder:
    """What is to be submitted.

    Attributes:
        service: which service is to do it.
        uploads: the files, in order.
        fields: the options, as form fields.
        key: the Idempotency-Key; None for none.
    """

    service: Service
    uploads: Sequence[Upload]
    fields: dict[str, str]
    key: str | None = None


class JobRequests:
    """The requests about jobs, as exchanges with the services.

    Args:
        api: addresses, patience and time limits.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._waiting = replace(api, retry=replace(api.retry, attempts=api.retry.attempts + _MORE_ATTEMPTS))

    def submit(self, order: JobOrder, on_sent: Callable[[int], None]) -> Exchange[Job]:
        """`POST /v1/jobs`."""
        headers = {} if order.key is None else {"Idempotency-Key": order.key}
        response = yield from self._api.upload(
            f"{self._api.url_of(order.service)}/v1/jobs", order.uploads, order.fields, 120.0, on_sent, headers
        )
        return parse_job(json_of(response))

    def show(self, service: Service, job_id: str) -> Exchange[Job]:
        """`GET /v1/jobs/{id}`."""
        return self._show(self._api, service, job_id)

    def find(self, job_id: str, service: Service | str | None) -> Exchange[Job]:
        """Find a job at a service, or at whichever has it."""
        if service is not None:
            return (yield from self.show(Service(service), job_id))
        try:
            return (yield from self.show(Service.RECORDINGS, job_id))
        except InputError as error:
            if error.status != httpx.codes.NOT_FOUND:
                raise
        return (yield from self.show(Service.PAGES, job_id))

    def page(
        self, service: Service, states: Iterable[JobState | str], after: str | None
    ) -> Exchange[JobPage]:
        """`GET /v1/jobs`."""
        query = {"limit": str(_PAGE), "state": ",".join(states), "after": after or ""}
        said = urlencode({name: text for name, text in query.items() if text})
        response = yield from self._asked(self._api, "GET", f"{self._api.url_of(service)}/v1/jobs?{said}")
        return parse_page(json_of(response))

    def cancel(self, job: Job) -> Exchange[Job]:
        """`DELETE /v1/jobs/{id}` of a job that is not finished; a finished one stays as it is."""
        job = yield from self.show(job.service, job.id)
        if job.state.finished:
            return job
        response = yield from self._asked(self._api, "DELETE", self._job_url(job.service, job.id))
        # It may have ended in between, by another's hand: then there is nothing to tell but what was known.
        return parse_job(json_of(response)) if response.content else job

    def remove(self, job: Job) -> Exchange[None]:
        """`DELETE /v1/jobs/{id}` of a finished job, with its files."""
        yield from self._asked(self._api, "DELETE", self._job_url(job.service, job.id))

    def wait(self, job: Job, on_change: Callable[[Job], None]) -> Exchange[Job]:
        """Follow a job's events until it is completed; where they cannot be had, ask now and then.

        Raises:
            CopyistError: why it failed; JobCancelledError if it was cancelled.
        """
        url = f"{self._job_url(job.service, job.id)}/events"
        sink = EventSink(on_change)
        timeout = httpx.Timeout(WRITE_S, connect=5.0, read=SILENCE_S)
        while not job.state.finished:
            headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
            if sink.last_id:
                headers["Last-Event-ID"] = sink.last_id
            yield Call("GET", url, timeout, headers, sink=sink)
            job = sink.job or job
            if not job.state.finished:
                job = yield from self._asked_instead(job, sink, on_change)
        return _completed(job)

    def _asked_instead(self, job: Job, sink: EventSink, on_change: Callable[[Job], None]) -> Exchange[Job]:
        """Ask for a job whose events have ended too early, or could not be had at all."""
        asked = yield from self._show(self._waiting, job.service, job.id)
        if asked != job:
            sink.job = asked
            on_change(asked)
        if not asked.state.finished:
            yield ASK_EVERY_S
        return asked

    def download(self, job: Job, file: JobFile, target: Path) -> Exchange[Path]:
        """Write one of a job's files, going on where a download before broke off.

        What has come lies beside the target, as `.copyist-….part`, until the file is whole and its digest is
        right.

        Raises:
            BadAnswerError: what comes is not the file that the job lists.
        """
        part = target.with_name(f".copyist-{job.id[:8]}-{file.sha256[:16]}.part")
        target.parent.mkdir(parents=True, exist_ok=True)
        patience = Patience(self._waiting.retry)
        damaged = False
        while True:
            sink = FileSink(part)
            sent = self._get_file(job, file, part, sink)
            outcome = yield sent
            if sink.size >= file.size and sink.sha256 == file.sha256:
                part.replace(target)
                return target
            if sink.size >= file.size:
                part.unlink(missing_ok=True)
                if damaged:
                    raise BadAnswerError(f"{file.name} comes with another content than the job tells.")
                damaged = True
                continue
            pause_s = wait_s(outcome, patience)
            if pause_s is None and not (isinstance(outcome, httpx.Response) and outcome.is_success):
                raise self._api.error(outcome, sent)
            yield pause_s or ASK_EVERY_S

    def _get_file(self, job: Job, file: JobFile, part: Path, sink: FileSink) -> Call:
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
        have = part.stat().st_size if part.exists() else 0
        if 0 < have < file.size:
            headers |= {"Range": f"bytes={have}-", "If-Range": f'"{file.sha256}"'}
        timeout = httpx.Timeout(WRITE_S, connect=5.0, read=_BLOCK_S)
        return Call("GET", self._file_url(job, file), timeout, headers, sink=sink)

    def read(self, job: Job, file: JobFile) -> Exchange[bytes]:
        """Read one of a job's files."""
        response = yield from self._asked(self._waiting, "GET", self._file_url(job, file))
        return response.content

    def _show(self, api: Api, service: Service, job_id: str) -> Exchange[Job]:
        response = yield from self._asked(api, "GET", self._job_url(service, job_id))
        return parse_job(json_of(response))

    def _asked(self, api: Api, method: str, url: str) -> Exchange[httpx.Response]:
        return api.answer(lambda: Call(method, url, api.timeout(30.0)), lambda: True)

    def _job_url(self, service: Service, job_id: str) -> str:
        return f"{self._api.url_of(service)}/v1/jobs/{quote(job_id, safe='')}"

    def _file_url(self, job: Job, file: JobFile) -> str:
        return f"{self._job_url(job.service, job.id)}/files/{quote(file.name, safe='')}"


def _completed(job: Job) -> Job:
    if job.state is JobState.FAILED:
        raise problem_from(dict(job.problem or {}))
    if job.state is JobState.CANCELLED:
        raise JobCancelledError(f"The job {job.id} was cancelled.", remedy="Submit it again.")
    return job


def joined_answer(answer: Any, contents: dict[str, str]) -> Any:
    """Put files into a job's JSON answer, as the direct answer holds them.

    Args:
        answer: the JSON answer, which refers to its files by name.
        contents: each file as a `data:` URI, by its name.
    """
    return {**answer, "files": [{**file, "href": contents[file["name"]]} for file in answer["files"]]}
