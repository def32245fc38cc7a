"""What every model's card says alike."""

from __future__ import annotations

import subprocess

LICENCE = "Apache-2.0"


def commit() -> str:
    """The commit that the recipe lies in."""
    command = ["git", "rev-parse", "--short=12", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
