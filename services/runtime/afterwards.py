"""Work that begins once a request has been answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

#: Is told whether the request was answered, rather than refused or failed, and returns at once.
Work = Callable[[bool], None]

_collected: ContextVar[list[Work] | None] = ContextVar("afterwards", default=None)


@contextmanager
def collected() -> Iterator[list[Work]]:
    """Collect what is to begin after the request that is answered within the block.

    Whoever answers it does that work, all of it, once the answer has left.
    """
    work: list[Work] = []
    token = _collected.set(work)
    try:
        yield work
    finally:
        _collected.reset(token)


def do(work: Work) -> None:
    """Begin a piece of work after the request that this belongs to; at once where it belongs to none."""
    later = _collected.get()
    if later is None:
        work(True)
    else:
        later.append(work)
