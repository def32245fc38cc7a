"""Starts what was requested, tries again what could not be started, and sees how it ends."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection
from datetime import timedelta
from typing import Final

from services.errors import CopyistError, DatabaseUnavailableError
from services.runtime.text import printable, shortened
from services.trigger import metrics
from services.trigger.decisions import RequestState, RetrainingRequest
from services.trigger.starters import RunPhase, Starter
from services.trigger.store import RequestStore

log = logging.getLogger("copyist.trigger")

#: Who takes a request for starting it has so long to say that it runs; then another may.
_LEASE: Final = timedelta(minutes=5)
_FIRST_WAIT_S: Final = 10.0
_LONGEST_WAIT_S: Final = 3600.0
#: A run that could not be started, or vanished, so often has failed.
MOST_ATTEMPTS: Final = 12
_LONGEST_MESSAGE: Final = 500
#: Seconds without a round after which the process hangs: starting one may take minutes of a slow cluster.
_HUNG_S: Final = 900.0


class HungError(CopyistError):
    """The trigger does not come round any more."""

    slug = "trigger-hangs"
    title = "The trigger hangs"
    status = 503


class Keeper:
    """A thread that keeps requests going; there may be one in each of several receivers.

    Args:
        store: the requests.
        starter: what starts them.
        models: those that can be retrained.
        every_s: seconds between two rounds.
        first_wait_s: seconds after which a failed start is tried again; doubled each time.
    """

    def __init__(
        self,
        store: RequestStore,
        starter: Starter,
        models: Collection[str],
        *,
        every_s: float = 5.0,
        first_wait_s: float = _FIRST_WAIT_S,
    ) -> None:
        self._store = store
        self._starter = starter
        self._models = models
        self._every_s = every_s
        self._first_wait_s = first_wait_s
        self._woken = threading.Event()
        self._ended = False
        self._round_at = time.monotonic()
        self._trouble: DatabaseUnavailableError | None = None
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Let the next round begin at once."""
        self._woken.set()

    def stop(self) -> None:
        """End; waits a moment for a round that is under way."""
        self._ended = True
        self._woken.set()
        self._thread.join(timeout=5)

    def check(self) -> None:
        """Raise DatabaseUnavailableError unless the last round reached the database."""
        if self._trouble is not None:
            raise self._trouble

    def check_alive(self) -> None:
        """Raise HungError when no round has ended for a long time."""
        silent_s = time.monotonic() - self._round_at
        if silent_s > _HUNG_S:
            raise HungError(f"The requests were last looked at {silent_s:.0f} s ago.")

    def _run(self) -> None:
        while not self._ended:
            try:
                self.round()
                self._trouble = None
            except DatabaseUnavailableError as error:
                self._trouble = error
            except Exception:
                log.exception("a round over the requests failed")
            self._round_at = time.monotonic()
            self._woken.wait(self._every_s)
            self._woken.clear()

    def round(self) -> None:
        """Look at all requests once, and do what is to be done.

        Raises:
            DatabaseUnavailableError: the database does not answer.
        """
        for request in self._store.requests():
            if request.state is RequestState.REQUESTED and self._store.claim(request, _LEASE):
                self._start(request)
            elif request.state is RequestState.RUNNING:
                self._look(request)
        metrics.tell(self._store.requests(), self._models)

    def _start(self, request: RetrainingRequest) -> None:
        try:
            self._starter.start(request)
        except DatabaseUnavailableError:
            raise
        except Exception as error:
            metrics.count_start_failure(request.model)
            log.warning("the retraining %s of %s was not started: %s", request.id, request.model, error)
            self._put_off(request, request.attempts + 1, str(error))
            return
        if self._store.started(request):
            log.info("the retraining %s of %s runs: %s", request.id, request.model, request.reason)

    def _look(self, request: RetrainingRequest) -> None:
        try:
            state = self._starter.look(request)
        except CopyistError as error:
            log.warning("the retraining %s could not be looked at: %s", request.id, error)
            return
        if state.phase is RunPhase.ABSENT:
            self._put_off(request, request.attempts, state.message or "The run has vanished.")
        elif state.phase is not RunPhase.RUNNING:
            self._end(request, RequestState(state.phase.value), state.message)

    def _put_off(self, request: RetrainingRequest, attempts: int, why: str) -> None:
        if attempts >= MOST_ATTEMPTS:
            self._end(request, RequestState.FAILED, f"Given up after {attempts} starts: {why}")
            return
        wait_s = min(self._first_wait_s * 2 ** max(attempts - 1, 0), _LONGEST_WAIT_S)
        self._store.put_off(request, _told(why), timedelta(seconds=wait_s))

    def _end(self, request: RetrainingRequest, state: RequestState, message: str) -> None:
        if self._store.ended(request, state, _told(message)):
            log.info("the retraining %s of %s has %s: %s", request.id, request.model, state, _told(message))


def _told(message: str) -> str:
    return shortened(printable(message), _LONGEST_MESSAGE)
