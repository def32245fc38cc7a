"""How far an upload is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.client.uploads import Upload, total_size


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an upload is: bytes handed to the connection, and bytes in all (None: not known).

    A retry starts over at `sent` 0. After `sent == size` comes the longer part, the transcribing.
    """

    sent: int
    size: int | None


def telling(
    on_progress: Callable[[Progress], None] | None, uploads: Sequence[Upload]
) -> Callable[[int], None]:
    """Make what an upload tells its progress to."""
    if on_progress is None:
        return lambda sent: None
    size = total_size(uploads)
    return lambda sent: on_progress(Progress(sent, size))
