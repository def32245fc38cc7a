"""What holds for every model: what its card says, and how it is exported."""

from __future__ import annotations

import subprocess

LICENCE = "Apache-2.0"
#: Of ONNX.
OPSET = 17
LARGEST_FILE_BYTES = 16 * 2**20


def commit() -> str:
    """The commit that the recipe lies in."""
    command = ["git", "rev-parse", "--short=12", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
