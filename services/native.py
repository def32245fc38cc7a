"""Native code that is fed with the unexpected runs in processes of its own; this is what they are told."""

from __future__ import annotations

import os
from typing import Final

#: Where programs, libraries and temporary files are. No secret lies in any of these.
_TOLD: Final = (
    "PATH",
    "LD_LIBRARY_PATH",
    "TMPDIR",
    "LANG",
    "LC_ALL",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
)


def bare_environment() -> dict[str, str]:
    """The environment of such a process: passwords and keys of ours stay with us."""
    return {name: os.environ[name] for name in _TOLD if name in os.environ}
