"""A program of the local stack: how it is started, and how one sees that it is ready."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import httpx


@dataclass(frozen=True, slots=True)
class Health:
    """How a running program is.

    Attributes:
        problem: why it is not ready; empty when it is.
        lasting: whether the problem will not pass by itself.
    """

    problem: str = ""
    lasting: bool = False


@dataclass(frozen=True, slots=True)
class Program:
    """One program.

    Attributes:
        name: as in `copyist`'s messages and the log's file name.
        command: program and arguments.
        variables: its environment.
        addresses: what it serves, by the protocol's name.
        health: asks it how it is.
        cleanup: clears what a process of it may have left behind; called after every end.
        grace_s: seconds that it is given to stop by itself.
        needed_by_others: whether it has to stop after them.
    """

    name: str
    command: list[str]
    variables: Mapping[str, str]
    addresses: dict[str, str]
    health: Callable[[httpx.Client], Health]
    cleanup: Callable[[], None]
    grace_s: float
    needed_by_others: bool = False
