"""Room for jobs in a worker that does several at once: those under suspicion are done alone."""

from __future__ import annotations

import asyncio


class Room:
    """Lets any number in together, or one that wants to be alone; made within the event loop.

    A job whose last worker ended without a word may have ended it. Alone, it takes no other jobs along when
    it does so again, and none of the others comes to look as if it had.
    """

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._inside = 0
        self._waiting_alone = 0
        self._closed = False

    async def enter(self, *, alone: bool) -> None:
        """Wait until there is room."""
        async with self._changed:
            if not alone:
                await self._changed.wait_for(lambda: not (self._closed or self._waiting_alone))
                self._inside += 1
                return
            self._waiting_alone += 1
            try:
                await self._changed.wait_for(lambda: not (self._closed or self._inside))
            finally:
                self._waiting_alone -= 1
                self._changed.notify_all()
            self._closed = True
            self._inside = 1

    async def leave(self) -> None:
        """Make room."""
        async with self._changed:
            self._inside -= 1
            self._closed = False
            self._changed.notify_all()
