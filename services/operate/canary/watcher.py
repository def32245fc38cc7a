"""Watches the canaries: judges them by Prometheus' figures, and takes the steps that follow from that."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from services.errors import CopyistError
from services.operate.canary import telling
from services.operate.canary.decision import Decision, Plan, Readiness, State, Step, decide
from services.operate.canary.figures import Figures
from services.operate.canary.judgement import Judgement, judge
from services.operate.canary.readings import Span, read_figures, read_readiness
from services.operate.prometheus import Prometheus, PrometheusError
from services.runtime.release import steps
from services.runtime.release.board import ReleaseBoard
from services.runtime.release.manifest import Canary, Manifest, ModelRelease

_log = logging.getLogger("copyist.canary")

#: Who takes the steps, in the manifest.
BY: Final = "release watch"
#: Older figures say nothing about today.
_LONGEST: Final = timedelta(days=1)
#: A canary that answers everything from the first is compared with the stable version this long before.
_BEFORE: Final = timedelta(hours=1)
#: A canary that stays as it is is told of in the log so often.
_TELL_EVERY: Final = timedelta(minutes=10)


class CanaryChangedError(CopyistError):
    """The canary that was judged is not there any more, or has another share by now."""

    slug = "canary-changed"
    title = "The canary was changed meanwhile"
    status = 409


class Watcher:
    """Looks after the canaries of one release board. Any number may watch the same board.

    Args:
        board: where the release manifest is kept.
        prometheus: has the services' and the model sync's metrics.
        plan: how canaries advance.
        clock: tells the time; it should be that of Prometheus and of the manifests' writers, within seconds.
    """

    def __init__(
        self,
        board: ReleaseBoard,
        prometheus: Prometheus,
        plan: Plan,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._board, self._prometheus, self._plan, self._clock = board, prometheus, plan, clock
        self._told = telling.Told(plan)
        self._last: dict[str, tuple[datetime, State, Step]] = {}
        #: Why the last look failed; None where it did not.
        self.problem: CopyistError | None = None

    def look(self) -> None:
        """Look at all canaries once, and do what is to be done. What fails is tried again next time."""
        try:
            self._look()
        except CopyistError as error:
            if self.problem is None or self.problem.slug != error.slug:
                _log.warning("canaries cannot be judged: %s", error)
            self._failed(error)
        except Exception as error:  # a fault of ours must not end the watching
            _log.exception("canaries cannot be judged")
            self._failed(CopyistError(f"Canaries cannot be judged ({error!r})."))
        else:
            telling.looked(self._clock())
            self.problem = None

    def _failed(self, problem: CopyistError) -> None:
        telling.failed(problem.slug)
        self.problem = problem

    def _look(self) -> None:
        manifest = self._board.read()
        # Asked even where nothing is on trial: that it is away should be known before something is.
        if not self._prometheus.now("vector(1)"):
            raise PrometheusError("Prometheus gives no answer to the simplest question.")
        canaries = list(_canaries(manifest))
        self._told.only({(model, canary.version.number) for model, _, canary in canaries})
        for model, release, canary in canaries:
            self._look_at(model, release, canary)

    def _look_at(self, model: str, release: ModelRelease, canary: Canary) -> None:
        now = self._clock()
        if canary.since >= now:
            return  # the clock of whoever began it is ahead
        span = Span(max(canary.since, now - _LONGEST), now)
        readiness = read_readiness(self._prometheus, model, canary.version.number, span)
        judgement = self._judged(model, release, canary, readiness, span)
        decision = decide(canary, judgement, readiness, self._plan, now)
        self._told.canary(model, canary, judgement, decision, now)
        self._log(model, canary, decision, now)
        if decision.step is not Step.STAY:
            self._take(model, canary, decision)

    def _judged(
        self, model: str, release: ModelRelease, canary: Canary, readiness: Readiness, span: Span
    ) -> Judgement:
        """Judge a canary by what came since all model servers had it: before, calls may fail for want."""
        if readiness.first is None or readiness.first >= span.end:
            return Judgement(0, 0, ())
        ready = replace(span, start=readiness.first)
        return judge(
            read_figures(self._prometheus, model, canary.version.number, ready),
            self._stable(model, release, canary, ready),
        )

    def _stable(self, model: str, release: ModelRelease, canary: Canary, span: Span) -> Figures:
        """Read the stable version's figures: over the same time, or, where it answers nothing now, before."""
        if canary.share >= 1:
            began = self._began(model, canary)
            if began == canary.since:
                began -= _BEFORE
            span = Span(max(began, canary.since - _LONGEST), canary.since)
        return read_figures(self._prometheus, model, release.stable.number, span)

    def _began(self, model: str, canary: Canary) -> datetime:
        """Tell when a canary took its first share."""
        shares = (of.canary for each in self._board.history() if (of := each.models.get(model)))
        return min(
            (past.since for past in shares if past and past.version == canary.version), default=canary.since
        )

    def _take(self, model: str, canary: Canary, decision: Decision) -> None:
        """Take a step, unless the canary is not the one any more that was judged."""

        def step(manifest: Manifest) -> Manifest:
            release = manifest.models.get(model)
            if release is None or release.canary != canary:
                raise CanaryChangedError(f"The canary of {model} was changed by {manifest.change.by}.")
            return self._stepped(manifest, model, canary, decision)

        try:
            steps.apply(self._board, step)
        except CanaryChangedError as error:
            _log.info("%s", error)
        else:
            telling.taken(model, decision)

    def _stepped(self, manifest: Manifest, model: str, canary: Canary, decision: Decision) -> Manifest:
        version, why = canary.version.number, decision.why
        if decision.share is not None:
            return steps.change_share(manifest, model, decision.share, by=BY, version=version, why=why)
        if decision.step is Step.PROMOTE:
            return steps.promote(manifest, model, by=BY, version=version, why=why)
        history = self._board.history()
        return steps.rollback(manifest, model, history=history, by=BY, version=version, why=why)

    def _log(self, model: str, canary: Canary, decision: Decision, now: datetime) -> None:
        """Write a line when something changes, and now and then when nothing does."""
        told, state, step = self._last.get(model, (datetime.fromtimestamp(0, UTC), None, None))
        if (state, step) != (decision.state, decision.step) or now - told >= _TELL_EVERY:
            self._last[model] = now, decision.state, decision.step
            _log.info(
                "canary %s %s at %.0f %% is %s: %s (%s)",
                model,
                canary.version.number,
                100 * canary.share,
                decision.state,
                decision.step,
                decision.why,
            )


def _canaries(manifest: Manifest) -> Iterator[tuple[str, ModelRelease, Canary]]:
    for model, release in sorted(manifest.models.items()):
        if release.canary is not None:
            yield model, release, release.canary
