"""The local stack's command line."""

from __future__ import annotations

import os
import subprocess
import sys

from services.local.options import StackOptions
from services.triton.environment import REPOSITORY_ROOT


def command(options: StackOptions, *arguments: str, limit_s: float = 600) -> subprocess.CompletedProcess[str]:
    """Run it as `make` does."""
    return subprocess.run(
        [sys.executable, "-m", "services.local", *arguments],
        cwd=REPOSITORY_ROOT,
        env={**os.environ, **options.variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=limit_s,
    )
