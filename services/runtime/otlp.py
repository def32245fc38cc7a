"""The sending of traces by OTLP over gRPC, with OpenTelemetry's SDK.

Spans wait in a queue of bounded length for a thread that sends them. With the collector away they are
dropped, nobody waits for them, and the log tells of it once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Final

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.runtime import logs
from services.runtime.settings import PREFIX
from services.runtime.tracing import TRACEPARENT, TRACESTATE, Attributes, Kind, Stretch, Traced

log = logging.getLogger("copyist.traces")

#: Spans that may wait, how many of them are sent at once, and how often.
_QUEUE: Final = 4096
_BATCH: Final = 512
_EVERY_MS: Final = 1000
#: Seconds for one batch, and for all that waits when the process ends.
_BATCH_LIMIT_S: Final = 3
_LAST_LIMIT_S: Final = 4.0

_KINDS: Final[Mapping[str, SpanKind]] = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "consumer": SpanKind.CONSUMER,
}
_W3C: Final = TraceContextTextMapPropagator()


class OtlpTracer:
    """Makes spans and sends them to a collector; one per process."""

    def __init__(self, endpoint: str, traced_percent: int, service: str) -> None:
        """Begin to send.

        Args:
            endpoint: `http://HOST:PORT` of the collector, or `https://`.
            traced_percent: share of traces that are begun, 1 to 100; of others their caller decides.
            service: the spans' `service.name`.

        Raises:
            ValueError: the endpoint is no such address.
        """
        if not endpoint.startswith(("http://", "https://")):
            raise ValueError(f"{PREFIX}OTLP_ENDPOINT must be http://HOST:PORT, not {endpoint!r}.")
        # It warns of every batch that is not taken, with the reason: `_Exporter` says so once.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._provider = TracerProvider(
            sampler=ParentBasedTraceIdRatio(min(traced_percent, 100) / 100),
            resource=Resource.create({SERVICE_NAME: service, SERVICE_VERSION: version("copyist")}),
            shutdown_on_exit=False,
            span_limits=SpanLimits(max_span_attributes=32, max_span_attribute_length=200),
        )
        exporter = _Exporter(OTLPSpanExporter(endpoint, timeout=_BATCH_LIMIT_S), endpoint)
        self._provider.add_span_processor(BatchSpanProcessor(exporter, _QUEUE, _EVERY_MS, _BATCH))
        self._tracer = self._provider.get_tracer("copyist")

    @contextmanager
    def span(
        self, name: str, kind: Kind, carrier: Mapping[str, str] | None, attributes: Attributes
    ) -> Iterator[Traced]:
        """Trace what the block does."""
        parent = None if carrier is None else _W3C.extract(_sent(carrier), Context())
        with self._tracer.start_as_current_span(
            name,
            parent,
            _KINDS[kind],
            attributes,
            # Both would tell the error's message, which may quote what was sent.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            traced = _OtlpSpan(span)
            try:
                if kind == "internal":
                    yield traced
                else:
                    with logs.bind(trace_id=trace.format_trace_id(span.get_span_context().trace_id)):
                        yield traced
            except BaseException as error:
                # Who answers calls says itself how they ended: a refusal is no failure.
                if kind != "server":
                    traced.fail(type(error).__name__)
                raise

    def outgoing(self) -> dict[str, str]:
        """Write the headers that let a called server continue the trace."""
        carrier: dict[str, str] = {}
        _W3C.inject(carrier)
        return carrier

    @contextmanager
    def continuing(self, carrier: Mapping[str, str]) -> Iterator[None]:
        """Let the spans within the block belong to another trace."""
        token = context.attach(_W3C.extract(_sent(carrier), Context()))
        try:
            yield
        finally:
            context.detach(token)

    def add(self, stretches: Sequence[Stretch]) -> None:
        """Add spans that another process collected."""
        for stretch in stretches:
            self._tracer.start_span(stretch.name, start_time=stretch.began_ns).end(stretch.ended_ns)

    def shutdown(self) -> None:
        """Send what still waits, for a few seconds at most, and stop."""
        # The SDK itself would wait half a minute for a collector that is away.
        last = threading.Thread(target=self._provider.shutdown, daemon=True)
        last.start()
        last.join(_LAST_LIMIT_S)


class _OtlpSpan:
    """A stretch of work while a span stands for it."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def note(self, attributes: Attributes) -> None:
        """Add attributes."""
        self._span.set_attributes(attributes)

    def fail(self, kind: str) -> None:
        """Mark the work as failed."""
        self._span.set_attribute("error.type", kind)
        self._span.set_status(Status(StatusCode.ERROR))


class _Exporter(SpanExporter):
    """Sends spans, and tells the log when the collector stops taking them and when it takes them again."""

    def __init__(self, exporter: SpanExporter, endpoint: str) -> None:
        self._exporter = exporter
        self._endpoint = endpoint
        self._failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch; one that is not taken is dropped."""
        result = self._exporter.export(spans)
        failed = result is not SpanExportResult.SUCCESS
        if failed and not self._failing:
            log.warning("the collector at %s takes no traces; they are dropped", self._endpoint)
        elif self._failing and not failed:
            log.warning("the collector at %s takes traces again", self._endpoint)
        self._failing = failed
        return result

    def shutdown(self) -> None:
        """Close the connection."""
        self._exporter.shutdown()


def _sent(carrier: Mapping[str, str]) -> dict[str, str]:
    return {name: carrier[name] for name in (TRACEPARENT, TRACESTATE) if carrier.get(name)}
