"""A collector of traces: takes them by OTLP over gRPC and over HTTP, and keeps them to be looked at."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)

from tests.waiting import PATIENCE_S


@dataclass(frozen=True, slots=True)
class Span:
    """A span as it was sent; ids in hex."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    began_ns: int
    ended_ns: int
    failed: bool
    attributes: dict[str, Any]


@dataclass
class Collector(TraceServiceServicer):  # type: ignore[misc]
    """Collects spans within a `with` block."""

    spans: list[Span] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._grpc = grpc.server(ThreadPoolExecutor(2))
        add_TraceServiceServicer_to_server(self, self._grpc)
        self._grpc_port = self._grpc.add_insecure_port("127.0.0.1:0")
        self._grpc.start()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collector.take_json(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._grpc.stop(0).wait()
        self._http.shutdown()
        self._http.server_close()

    @property
    def grpc_url(self) -> str:
        return f"http://127.0.0.1:{self._grpc_port}"

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/v1/traces"

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        self.take(request.SerializeToString())
        return ExportTraceServiceResponse()

    def take(self, content: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(content).resource_spans:
            about = {each.key: each.value.string_value for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [_span(about.get("service.name", ""), each) for each in scope.spans]

    def take_json(self, content: dict[str, Any]) -> None:
        """OTLP's JSON, which is protobuf's but for ids in hex: what Triton sends."""
        for resource in content["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                self.spans += [
                    Span(
                        service="triton",
                        name=span["name"],
                        trace=span["traceId"],
                        id=span["spanId"],
                        parent=span.get("parentSpanId", ""),
                        began_ns=int(span["startTimeUnixNano"]),
                        ended_ns=int(span["endTimeUnixNano"]),
                        failed=False,
                        attributes={},
                    )
                    for span in scope["spans"]
                ]

    def wait_for(self, wanted: Callable[[list[Span]], Any], limit_s: float = PATIENCE_S) -> Any:
        """Wait until `wanted` finds something in the spans, and give it."""
        deadline = time.monotonic() + limit_s
        while not (found := wanted(list(self.spans))):
            assert time.monotonic() < deadline, [(span.service, span.name) for span in self.spans]
            time.sleep(0.05)
        return found


def _span(service: str, span: Any) -> Span:
    values = {
        each.key: getattr(each.value, each.value.WhichOneof("value") or "string_value")
        for each in span.attributes
    }
    return Span(
        service=service,
        name=span.name,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        began_ns=span.start_time_unix_nano,
        ended_ns=span.end_time_unix_nano,
        failed=span.status.code == 2,
        attributes=values,
    )
