"""A program of the local stack: how it is started, and how one sees that it is ready."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import httpx

from services.local.options import StackOptions


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


def own(
    name: str,
    command: Sequence[str],
    options: StackOptions,
    port: int,
    variables: Mapping[str, str],
    *,
    grace_s: float = 10.0,
) -> Program:
    """A program of Copyist's own: a `copyist` command that tells of health and metrics on a port."""
    http = f"http://{options.host}:{port}"
    return Program(
        name=name,
        command=[sys.executable, "-m", "services.client.cli", *command],
        variables={**os.environ, **options.variables, **variables},
        addresses={"metrics": f"{http}/metrics"},
        health=lambda client: readiness(client, http),
        cleanup=lambda: None,
        grace_s=grace_s,
    )


def readiness(client: httpx.Client, http: str) -> Health:
    """Ask a program of Copyist's, at its HTTP address, whether it is ready."""
    answer = client.get(f"{http}/readyz")
    if answer.is_success:
        return Health()
    try:
        return Health(str(answer.json()["detail"]))
    except (json.JSONDecodeError, KeyError, TypeError):
        return Health(f"/readyz answers {answer.status_code}")
