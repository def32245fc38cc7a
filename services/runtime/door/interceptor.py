"""The gate in front of gRPC: what `services.runtime.http.Edge` does for HTTP, before a message is read."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any, Final

import grpc

from services.errors import CopyistError, InputError, OverloadedError, UploadTooSlowError
from services.runtime import logs
from services.runtime.calls import Call
from services.runtime.door.gate import Gate

#: What needs no key: who runs the service asks these.
_OPEN: Final = (
    "/grpc.health.v1.Health/",
    "/grpc.reflection.v1alpha.ServerReflection/",
    "/inference.GRPCInferenceService/ServerLive",
    "/inference.GRPCInferenceService/ServerReady",
)
#: Calls of a process that are let in at once: each may hold an upload in memory.
MOST_AT_ONCE: Final = 32


class GateInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Lets calls pass the gate, and few enough at once that their uploads have room in memory."""

    def __init__(self, gate: Gate, service: str) -> None:
        """Stand in front of a service.

        Args:
            gate: decides who may pass.
            service: its name in the metrics, such as `amt`.
        """
        self._gate = gate
        self._service = service
        self._inside = 0

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
        """Put the gate in front of a method, unless it is open or unknown."""
        handler = await continuation(details)
        if handler is None or details.method.startswith(_OPEN):
            return handler
        method = details.method.rpartition("/")[2]
        # As a stream, whatever the method is: then nothing of a message is read before it is asked for.
        return grpc.stream_unary_rpc_method_handler(
            self._guarded(handler, method), handler.request_deserializer, handler.response_serializer
        )

    def _guarded(self, handler: Any, method: str) -> Callable[[Any, Any], Awaitable[Any]]:
        async def answer(_requests: Any, context: Any) -> Any:
            async with AsyncExitStack() as entered:
                try:
                    headers = _texts(context.invocation_metadata() or ())
                    caller = await entered.enter_async_context(self._gate.passing(headers))
                    entered.enter_context(logs.bind(owner=caller.owner, credential=caller.credential))
                    entered.enter_context(self._room())
                    request = await self._message(context)
                except CopyistError as error:
                    async with Call(self._service, context, method, "").answering():
                        raise error
                if not inspect.iscoroutinefunction(handler.unary_unary):
                    await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{method} is not served here.")
                return await handler.unary_unary(request, context)

        return answer

    @contextmanager
    def _room(self) -> Iterator[None]:
        if self._inside >= MOST_AT_ONCE:
            raise OverloadedError(
                f"The service has {MOST_AT_ONCE} gRPC calls in hand already.", remedy="Try again in a moment."
            )
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1

    async def _message(self, context: Any) -> Any:
        limit_s = self._gate.settings.request_timeout_s
        try:
            async with asyncio.timeout(limit_s):
                message = await context.read()
        except TimeoutError:
            raise UploadTooSlowError(
                f"The message was not whole within {limit_s} s (COPYIST_REQUEST_TIMEOUT_S).",
                remedy="Send it over a faster line, or compress it.",
            ) from None
        if message is grpc.aio.EOF:
            raise InputError("The call brings no message.", remedy="Send one.")
        return message


def _texts(metadata: Any) -> Iterator[tuple[str, str]]:
    return ((name, value) for name, value in metadata if isinstance(value, str))
