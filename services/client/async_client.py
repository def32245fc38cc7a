"""The client for asyncio; it differs from that for plain code in nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from types import TracebackType
from typing import Self, TypeVar

import anyio
import anyio.to_thread
import httpx

from services.client.addresses import connection_settings, pages_service_url, service_url
from services.client.exchange import Api, Call, Exchange, Outcome, RecognitionOptions, TranscriptionOptions
from services.client.handles import AsyncJobHandle
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
        api_key: str | None = None,
        timeout_s: float | None = None,
        retry: RetryPolicy = DEFAULT_RETRY,
    ) -> None:
        """As `Copyist`."""
        self._api = Api(service_url(url), pages_service_url(pages_url or url), retry, timeout_s)
        self._requests = JobRequests(self._api)
        self._http = httpx.AsyncClient(**connection_settings(api_key))

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
        return await self._run(self._api.transcribe(upload, options, telling(on_progress, [upload])))

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
        uploads = uploads_of(pages)
        options = RecognitionOptions(formats, colour_by, explain)
        return await self._run(self._api.recognize(uploads, options, telling(on_progress, uploads)))

    async def restore(self, page: Source) -> bytes:
        """As `Copyist.restore`."""
        return await self._run(self._api.restore(Upload(page)))

    async def submit(
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
    ) -> AsyncJobHandle:
        """As `Copyist.submit`; `on_progress` is called on the event loop."""
        uploads = uploads_of(files, name)
        options = {"instrument": instrument, "tempo": tempo, "quantise": quantise}
        options |= {"colour_by": colour_by, "explain": explain}
        what = order(uploads, service, formats, options, idempotency_key=idempotency_key, webhook=webhook)
        job = await self._run(self._requests.submit(what, telling(on_progress, uploads)))
        return AsyncJobHandle(self._run, self._requests, job)

    async def job(self, job_id: str, service: Service | str | None = None) -> AsyncJobHandle:
        """As `Copyist.job`."""
        job = await self._run(self._requests.find(job_id, service))
        return AsyncJobHandle(self._run, self._requests, job)

    async def jobs(self, service: Service | str, states: Iterable[JobState | str] = ()) -> AsyncIterator[Job]:
        """As `Copyist.jobs`."""
        after: str | None = None
        while True:
            page = await self._run(self._requests.page(Service(service), states, after))
            for job in page.jobs:
                yield job
            if (after := page.next) is None:
                return

    async def models(self) -> tuple[Model, ...]:
        """As `Copyist.models`."""
        return await self._run(self._api.models())

    async def readiness(self, service: Service = Service.RECORDINGS) -> Readiness:
        """As `Copyist.readiness`."""
        return await self._run(self._api.readiness(service))

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
            return await (self._http.send(request) if call.sink is None else self._pour(request, call.sink))
        except httpx.RequestError as error:
            return error

    async def _pour(self, request: httpx.Request, sink: Sink) -> httpx.Response:
        response = await self._http.send(request, stream=True)
        try:
            if not response.is_success:
                await response.aread()
                return response
            await _beside(sink, lambda: sink.begin(response))
            async for piece in response.aiter_bytes():
                if await _beside(sink, lambda piece=piece: sink.take(piece)):  # type: ignore[misc]
                    break
            return response
        finally:
            sink.end()
            await response.aclose()


async def _beside(sink: Sink, act: Callable[[], T]) -> T:
    """Have a sink act, beside the event loop where it may block."""
    return await anyio.to_thread.run_sync(act) if sink.blocking else act()
