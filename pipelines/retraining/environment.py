"""What a run's results depend on besides its record: code, packages, machine."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from dataclasses import dataclass
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Final, Self

ROOT: Final = Path(__file__).resolve().parents[2]
#: The parts of the tree that decide what a step makes.
_CODE: Final = ("pipelines", "services")


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Where something ran.

    Attributes:
        python: its version.
        packages: SHA-256 of the names and versions of all installed packages.
        machine: operating system, architecture and number of processors.
    """

    python: str
    packages: str
    machine: str

    @classmethod
    def here(cls) -> Self:
        """This process's own."""
        return cls(
            python=platform.python_version(),
            packages=_packages(),
            machine=f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        )


def commit() -> str:
    """The commit of the code, with `+` where the tree has changes; empty outside of a repository."""
    try:
        head, changes = _git("rev-parse", "--short=12", "HEAD"), _git("status", "--porcelain", "--", *_CODE)
    except (OSError, subprocess.CalledProcessError):
        return os.environ.get("COPYIST_REVISION", "")
    return head + ("+" if changes else "")


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


@cache
def code_digest() -> str:
    """SHA-256 of the code that steps run."""
    digest = hashlib.sha256()
    for part in _CODE:
        for path in sorted((ROOT / part).rglob("*.py")):
            digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


@cache
def _packages() -> str:
    named = sorted({f"{each.metadata['Name']}=={each.version}" for each in distributions()})
    return hashlib.sha256("\n".join(named).encode()).hexdigest()
