"""Processes that must not outlive the one that started them."""

from __future__ import annotations

import ctypes
import os
import signal
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None)


def end_with_parent(number: signal.Signals = signal.SIGKILL, *, parent: int | None = None) -> None:
    """Let the kernel send this process a signal as soon as its parent has ended, however that ends.

    Strictly, it is the thread that started the process whose end counts (prctl(2), PR_SET_PDEATHSIG).

    Args:
        number: which signal.
        parent: the parent's pid, where it is known; a process whose parent is another by now ends at once.
    """
    _LIBC.prctl(_PR_SET_PDEATHSIG, number)
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), number)
