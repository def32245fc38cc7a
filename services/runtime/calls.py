"""One gRPC call: its id, its measures, its line in the log, and how its errors are told."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from typing import Any, NoReturn

import grpc

from services.errors import CopyistError, TryAgainError
from services.runtime import afterwards, logs, metrics, problems, tracing
from services.runtime.request_ids import request_id_from

log = logging.getLogger("copyist.requests")


class Call:
    """One call: its id, its measures, and how its errors are told."""

    def __init__(self, service: str, context: Any, method: str, request_id: str) -> None:
        self._service = service
        self._context = context
        self._method = method
        self.request_id = request_id_from(request_id)

    @contextlib.asynccontextmanager
    async def answering(self) -> AsyncIterator[None]:
        """Tell errors as status codes, with the kind of problem and the request's id in the metadata."""
        started_at = time.perf_counter()
        with (
            logs.bind(request_id=self.request_id),
            afterwards.collected() as later,
            self._traced() as span,
            metrics.observe(self._service, "grpc", self._method) as measured,
        ):
            measured.status = grpc.StatusCode.CANCELLED.name
            try:
                yield
                measured.status = grpc.StatusCode.OK.name
            except CopyistError as error:
                measured.status = problems.grpc_status(error).name
                if error.status >= 500:
                    log.warning("%s: %s", type(error).__name__, error)
                    span.fail(measured.status)
                await self._abort(error)
            except Exception:
                log.exception("unexpected error")
                measured.status = grpc.StatusCode.INTERNAL.name
                span.fail(measured.status)
                await self._abort(problems.unexpected(self.request_id))
            finally:
                self._tell(measured.status, time.perf_counter() - started_at, span)
                for begin in later:
                    # The answer leaves after this.
                    answered = measured.status == grpc.StatusCode.OK.name
                    self._context.add_done_callback(lambda _, begin=begin, ok=answered: begin(ok))

    def _traced(self) -> AbstractContextManager[tracing.Traced]:
        carrier = dict(self._context.invocation_metadata() or ())
        attributes = {"rpc.system": "grpc", "rpc.method": self._method, "request_id": self.request_id}
        return tracing.span(f"grpc {self._method}", attributes, kind="server", carrier=carrier)

    def _tell(self, status: str, seconds: float, span: tracing.Traced) -> None:
        """Tell log and trace how a call ended."""
        span.note({"rpc.grpc.status": status})
        line = logs.fields(protocol="grpc", route=self._method, status=status, seconds=round(seconds, 6))
        log.info("%s %s %.3f s", self._method, status, seconds, extra=line)

    async def _abort(self, error: CopyistError) -> NoReturn:
        metadata = [("x-request-id", self.request_id), ("copyist-problem", error.slug)]
        if isinstance(error, TryAgainError):
            metadata.append(("retry-after", str(error.retry_after_s)))
        details = f"{problems.told(error.detail)} {error.remedy}".strip()
        await self._context.abort(problems.grpc_status(error), details, tuple(metadata))
        raise AssertionError("abort always raises")
