"""Starts what was requested, tries again what could not be started, and sees how it ends."""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import timedelta
from typing import Final

from services.errors import CopyistError, DatabaseUnavailableError
from services.runtime.rounds import Rounds
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


class Keeper(Rounds):
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
        super().__init__("keeper", every_s=every_s, hung_s=_HUNG_S)
        self._store = store
        self._starter = starter
        self._models = models
        self._first_wait_s = first_wait_s

    def round(self) -> None:
        """Look at all requests once, and do what is to be done."""
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
