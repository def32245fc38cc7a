"""Monitoring switched off, or timed, inside one process: for `loadtests.bench_monitoring`.

Services have no switch for it. What is switched here is all that requests do only to be watched: counting and
timing them, their stages and their calls of the model server, and measuring what drift is watched by.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from unittest.mock import patch

from services.omr.look import PageLook
from services.runtime.metrics import Observed
from services.runtime.profiles import Observation

_LOOK: Final = PageLook(0, 0, 0, 0, 0, 0, 0)
_NOTHING: Final = Observation({}, {})


@contextmanager
def _unobserved(*_: object) -> Iterator[Observed]:
    yield Observed()


#: Functions, by where they are looked up, and what stands in their place while monitoring is off.
CALLS: Final[dict[str, Callable[..., Any]]] = {
    "services.amt.profile.measure": lambda *_: _NOTHING,
    "services.omr.page_reader.look_at": lambda *_: _LOOK,
    "services.omr.profile.measure": lambda *_: _NOTHING,
    "services.runtime.outcomes.count": lambda *_: None,
    "services.runtime.model_calls.count_retry": lambda *_: None,
    "services.runtime.metrics.observe_upload": lambda *_: None,
}
#: The same for those that are entered before the work and left after it.
MANAGERS: Final[dict[str, Callable[..., AbstractContextManager[Any]]]] = {
    "services.runtime.metrics.observe": _unobserved,
    "services.runtime.model_calls.observe": _unobserved,
}


@contextmanager
def without_monitoring() -> Iterator[None]:
    """Do without monitoring within the block."""
    with ExitStack() as patches:
        for name, instead in (CALLS | MANAGERS).items():
            patches.enter_context(patch(name, instead))
        yield


@dataclass
class Spent:
    """CPU time that monitoring took, over all threads.

    Attributes:
        seconds: in all.
        parts: how often each function was called, by its name.
    """

    seconds: float = 0.0
    parts: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def counting(self, name: str) -> Iterator[None]:
        """Count what the block takes."""
        began = time.thread_time()
        try:
            yield
        finally:
            with self._lock:
                self.seconds += time.thread_time() - began
                self.parts[name] = self.parts.get(name, 0) + 1


@contextmanager
def timed_monitoring() -> Iterator[Spent]:
    """Time monitoring within the block; it does what it always does."""
    spent = Spent()
    with ExitStack() as patches:
        for name in (*CALLS, *MANAGERS):
            module, _, attribute = name.rpartition(".")
            real = getattr(__import__(module, fromlist=["_"]), attribute)
            wrapped = _timed_manager if name in MANAGERS else _timed_call
            patches.enter_context(patch(name, wrapped(spent, name, real)))
        yield spent


def _timed_call(spent: Spent, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        with spent.counting(name):
            return real(*arguments)

    return call


def _timed_manager(
    spent: Spent, name: str, real: Callable[..., AbstractContextManager[Any]]
) -> Callable[..., AbstractContextManager[Any]]:
    @contextmanager
    def manage(*arguments: Any) -> Iterator[Any]:
        with ExitStack() as entered:
            with spent.counting(name):
                given = entered.enter_context(real(*arguments))
            leaving = entered.pop_all()
            try:
                yield given
            except BaseException as error:
                with spent.counting(name):
                    leaving.__exit__(type(error), error, error.__traceback__)
                raise
            with spent.counting(name):
                leaving.close()

    return manage
