"""`copyist release watch`: advances canaries that do well, and rolls back those that do badly."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from datetime import timedelta
from typing import Final

import click

from services.errors import CopyistError, TryAgainError
from services.operate.canary.decision import Plan
from services.operate.canary.watcher import Watcher
from services.operate.environment import settings
from services.operate.prometheus import Prometheus
from services.runtime import logs
from services.runtime.endpoints import Endpoints
from services.runtime.release.board import open_board
from services.runtime.settings import Settings
from services.runtime.stopping import told_to_stop

_NAME: Final = "release-watch"
#: A look that takes longer hangs.
_HANGS_AFTER_S: Final = 300.0
_PLAN: Final = Plan()


class Shares(click.ParamType[tuple[float, ...]]):
    """Shares of the requests in percent, rising, such as `5,25,100`."""

    name = "percent"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """Parse them, or say how they are written."""
        if isinstance(value, tuple):
            return value
        try:
            shares = tuple(float(part.strip().removesuffix("%")) / 100 for part in str(value).split(","))
        except ValueError:
            shares = ()
        if not shares or sorted(set(shares)) != list(shares) or not 0 < shares[0] <= shares[-1] <= 1:
            self.fail(
                f"{value!r} are no rising shares above 0 and at most 100, such as 5,25,100.", param, ctx
            )
        return shares


@click.command()
@click.option(
    "--prometheus",
    envvar="COPYIST_PROMETHEUS_URL",
    default="http://127.0.0.1:9090",
    show_default=True,
    help="Address of the Prometheus that watches the services and the model sync.",
)
@click.option(
    "--steps",
    "shares",
    type=Shares(),
    default="5,25,100",
    show_default=True,
    help="Shares of the requests that a canary takes one after the other; promotion comes after the last.",
)
@click.option(
    "--samples",
    type=click.IntRange(min=10),
    default=_PLAN.samples,
    show_default=True,
    help="Recordings or pages that it must have answered at each share, and the stable version, too.",
)
@click.option(
    "--soak-s",
    type=click.IntRange(min=0),
    default=int(_PLAN.soak.total_seconds()),
    show_default=True,
    help="Least time at each share, in seconds.",
)
@click.option(
    "--ready-within-s",
    type=click.IntRange(min=1),
    default=int(_PLAN.ready_within.total_seconds()),
    show_default=True,
    help="How long it may take to be loaded everywhere, or be away, in seconds.",
)
@click.option(
    "--interval-s",
    type=click.IntRange(min=1),
    default=15,
    show_default=True,
    help="Time between two looks, in seconds.",
)
def watch(
    prometheus: str,
    shares: tuple[float, ...],
    samples: int,
    soak_s: int,
    ready_within_s: int,
    interval_s: int,
) -> None:
    """Advance canaries that do well, and roll back those that do badly, until told to end.

    A canary is compared with the stable version by what Prometheus has of both since it took its present
    share: failed calls, latency, checks of what was found, and how that is distributed. What is worse by
    more than it may be, and by more than chance, rolls it back at once, even one that is held. Without data
    nothing is done. Several may run beside each other.
    """
    here = settings()
    plan = Plan(shares, samples, timedelta(seconds=soak_s), timedelta(seconds=ready_within_s))
    watcher = Watcher(open_board(here.release_url), Prometheus(prometheus), plan)
    logs.configure(here, _NAME)
    try:
        asyncio.run(_run(here, watcher, interval_s))
    except OSError as error:
        raise click.ClickException(
            f"the watch cannot begin (COPYIST_RELEASE_WATCH_PORT): {error.strerror}."
        ) from None


async def _run(here: Settings, watcher: Watcher, interval_s: float) -> None:
    """Look again and again; serve health and metrics meanwhile."""
    told_to_end = told_to_stop()
    looked, looked_at = False, time.monotonic()

    def check_alive() -> None:
        if time.monotonic() - looked_at > _HANGS_AFTER_S + interval_s:
            raise TryAgainError("The watch has not come to the end of a look for minutes.")

    async def check_ready() -> None:
        if not looked:
            raise TryAgainError("The watch has not looked yet.")
        if watcher.problem is not None:
            raise _as_unready(watcher.problem)

    endpoints = Endpoints(here.host, here.release_watch_port, check_alive, check_ready)
    await endpoints.start()
    try:
        while not told_to_end.is_set():
            await asyncio.to_thread(watcher.look)
            looked, looked_at = True, time.monotonic()
            with suppress(TimeoutError):
                await asyncio.wait_for(told_to_end.wait(), interval_s)
    finally:
        await endpoints.stop()


def _as_unready(problem: CopyistError) -> TryAgainError:
    """Whatever the problem is, the watch is not ready for the moment."""
    return TryAgainError(problem.detail, remedy=problem.remedy)
