"""A thread that does the same small work again and again, and can be asked whether it still does."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from typing import Final

from services.errors import CopyistError, DatabaseUnavailableError

log = logging.getLogger("copyist.rounds")

#: Seconds that `stop` waits for a round that is under way.
_ENDING_S: Final = 5.0


class HungError(CopyistError):
    """A thread of the process does not come round any more."""

    slug = "process-hangs"
    title = "The process hangs"
    status = 503


class Rounds(ABC):
    """A thread that takes rounds over the database, until it is stopped.

    What it guarantees: the first round is taken at once, and the next one a while after the last has ended,
    however that ended. A database that does not answer is told by `check`, any other failure in the log. A
    round that does not end is told by `check_alive`. `stop` comes back within five seconds; what is still
    under way then ends with the process.

    Args:
        name: of the thread.
        every_s: seconds between two rounds.
        hung_s: seconds after the end of the last round, or after the start, from which on the process hangs.
    """

    def __init__(self, name: str, *, every_s: float, hung_s: float) -> None:
        self._every_s = every_s
        self._hung_s = hung_s
        self._woken = threading.Event()
        self._over = False
        self._round_at: float | None = None
        self._trouble: DatabaseUnavailableError | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @abstractmethod
    def round(self) -> None:
        """Take one round.

        Raises:
            DatabaseUnavailableError: the database does not answer.
        """

    def start(self) -> None:
        """Begin."""
        self._round_at = time.monotonic()
        self._thread.start()

    def wake(self) -> None:
        """Let the next round begin at once."""
        self._woken.set()

    def stop(self) -> None:
        """End; waits a moment for a round that is under way."""
        self.finish()
        self._thread.join(timeout=_ENDING_S)

    def finish(self) -> None:
        """Take no round after the one that is under way; a round may call this itself."""
        self._over = True
        self._woken.set()

    def check(self) -> None:
        """Raise DatabaseUnavailableError unless the last round reached the database."""
        if self._trouble is not None:
            raise self._trouble

    def check_alive(self) -> None:
        """Raise HungError when no round has ended for a long time; all is well before the start."""
        if self._round_at is None:
            return
        silent_s = time.monotonic() - self._round_at
        if silent_s > self._hung_s:
            raise HungError(f"The last round of the {self._thread.name} ended {silent_s:.0f} s ago.")

    def _run(self) -> None:
        while not self._over:
            try:
                self.round()
                self._trouble = None
            except DatabaseUnavailableError as error:
                self._trouble = error
            except Exception:
                log.exception("a round of the %s failed", self._thread.name)
            self._round_at = time.monotonic()
            self._woken.wait(self._every_s)
            self._woken.clear()
