"""Fixed test sets: pieces that stay the same, known by a digest of all that they ask."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

_SEED: Final = 41
#: A set is judged from so many pieces on; with fewer the set that ships with the code takes its place.
FEWEST_HELD_OUT: Final = 24

Content = TypeVar("Content")


@dataclass(frozen=True, slots=True)
class Piece(Generic[Content]):
    """A piece of a test set.

    Attributes:
        name: unique in its set.
        slices: what kind of piece it is.
        content: what a model is given, and what is true of it.
    """

    name: str
    slices: Mapping[str, str]
    content: Content


@dataclass(frozen=True, slots=True)
class FixedSet(Generic[Content]):
    """A test set.

    Attributes:
        name: such as `held-out`.
        digest: SHA-256, in hex, of its pieces and of all else that decides what is measured.
        pieces: in an order in which the first ones are a fair sample.
    """

    name: str
    digest: str
    pieces: tuple[Piece[Content], ...]


def chosen(stems: Sequence[Path], limit: int | None) -> list[Path]:
    """A fair sample of at most `limit` files, always the same, in an order that never changes.

    A larger limit gives the same ones first, as long as the files are the same.
    """
    order = np.random.default_rng(_SEED).permutation(len(stems))
    return [stems[index] for index in order[:limit]]


def digest_of(parts: Iterable[str | bytes | NDArray[Any]]) -> str:
    """SHA-256, in hex, of names and arrays: their types, shapes and values."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype.descr} {part.shape} ".encode())
            digest.update(np.ascontiguousarray(part).tobytes())
        else:
            digest.update(part.encode() if isinstance(part, str) else part)
        digest.update(b"\n")
    return digest.hexdigest()
