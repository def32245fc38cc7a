"""Small servers that take known times, to measure the load generator itself by."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from typing import Any

import grpc
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from services.runtime.tensors import one_element

#: What a request is answered with: seconds to wait first, status, JSON.
Answer = tuple[float, int, dict[str, Any]]
WELL = {"notes": [{}]}


@contextmanager
def http_server(answer: Callable[[], Answer], *, at_once: bool = False) -> Iterator[int]:
    """Serve POST requests, one after the other as they come, unless `at_once`; gives the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            seconds, status, content = answer()
            time.sleep(seconds)
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer if at_once else HTTPServer):  # type: ignore[misc]
        request_queue_size = 128
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def grpc_server(seconds: float) -> Iterator[int]:
    """Serve ModelInfer, one call after the other, each in so many seconds; gives the port."""

    class Servicer(service_pb2_grpc.GRPCInferenceServiceServicer):
        def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
            time.sleep(seconds)
            answer = pb.ModelInferResponse(model_name=request.model_name)
            for output in request.outputs:
                answer.outputs.add(name=output.name, datatype="BYTES", shape=[1])
                answer.raw_output_contents.append(one_element(b"[1]"))
            return answer

    server = grpc.server(ThreadPoolExecutor(1))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()
