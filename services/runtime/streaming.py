"""Answers sent piece by piece, for as long as the client stays."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.runtime.http import while_connected


class StreamedResponse(Response):
    """An answer whose body is made while it is sent.

    Starlette's own cancels what makes the body again at every await once the client has left; a thread
    that is just reading a block could then not be waited for.

    Args:
        pieces: the body; closed when all is sent or the client has left.
        status_code: of the answer.
        headers: of the answer.
        media_type: of the body.
    """

    def __init__(
        self,
        pieces: AsyncGenerator[bytes, None],
        status_code: int,
        headers: Mapping[str, str],
        media_type: str,
    ) -> None:
        self.pieces = pieces
        self.status_code = status_code
        self.media_type = media_type
        self.background = None
        self.init_headers(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer; that the client leaves before its end is no error."""
        try:
            await while_connected(Request(scope, receive), self._send(send))
        except ClientDisconnect:
            pass
        finally:
            await self.pieces.aclose()

    async def _send(self, send: Send) -> None:
        # What keeps the body from being made at all is thereby told before the answer has begun.
        first = await anext(self.pieces, b"")
        start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        await send(start)
        await send({"type": "http.response.body", "body": first, "more_body": True})
        async for piece in self.pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
