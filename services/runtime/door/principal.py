"""Who calls: the owner of what the call makes, and what the caller may do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Scope(StrEnum):
    """What a caller may be allowed to do."""

    AMT = "amt"  # everything of the audio service
    OMR = "omr"  # everything of the page service


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose right to call has been checked.

    Attributes:
        owner: whose jobs, files and limits these are; printable, at most 200 characters.
        scopes: what the caller may do.
        credential: what the caller showed, fit for logs: a key's prefix, `token`, or empty.
    """

    owner: str
    scopes: frozenset[Scope]
    credential: str = ""


#: A caller of whom nothing is known, or not yet.
NOBODY: Final = Principal("", frozenset())

#: Everybody, where the door is off.
ANYONE: Final = Principal("local", frozenset(Scope))
