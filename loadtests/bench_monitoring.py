"""What does monitoring cost a request? `make bench-monitoring` prints it.

Both services' routes and all behind them run in this process, with a real Triton, and with metrics kept in
files as in serving processes. The same recording and the same page are sent again and again, each time once
with monitoring on and once with it off, in random order: what else the machine does meets both alike. Their
ratio is told on the clock and in CPU time, Triton's included. Beside it stands the CPU time that monitoring
itself took, which a busy machine blurs the least.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from starlette.routing import Router

from loadtests.footprint import use_of
from loadtests.monitoring_cost import timed_monitoring, without_monitoring
from services.amt.api import AudioApi
from services.amt.backend import Backend as AudioBackend
from services.client.demo import PAGE, RECORDING
from services.local.options import StackOptions, private
from services.local.stack import LocalStack
from services.omr.api import PageApi
from services.omr.backend import Backend as PageBackend
from services.runtime import metrics
from services.runtime.door.gate import Gate
from services.runtime.door.principal import Scope
from services.runtime.http import Edge
from services.runtime.settings import Settings

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
#: How often Prometheus asks, in the chart's values.
SCRAPE_EVERY_S = 15
RESAMPLES = 4000


@dataclass(frozen=True)
class Cost:
    """What a request took: seconds on the clock, and of CPU in all processes."""

    clock_s: float
    cpu_s: float


@dataclass
class Work:
    """A request, and what it took each time.

    Attributes:
        name: what it is.
        send: sends it, and waits for its answer.
        on, off: with monitoring and without, pair by pair.
        spent_s: CPU seconds of monitoring in each of those with it.
    """

    name: str
    send: Callable[[], Coroutine[Any, Any, None]]
    on: list[Cost] = field(default_factory=list)
    off: list[Cost] = field(default_factory=list)
    spent_s: list[float] = field(default_factory=list)

    async def pair(self, *, on_first: bool) -> None:
        """Send it once with monitoring and once without."""
        for on in (on_first, not on_first):
            if on:
                with timed_monitoring() as spent:
                    self.on.append(await self._measured())
                self.spent_s.append(spent.seconds)
            else:
                with without_monitoring():
                    self.off.append(await self._measured())

    async def _measured(self) -> Cost:
        cpu_s, began = use_of(os.getpid()).cpu_s, time.perf_counter()
        await self.send()
        clock_s = time.perf_counter() - began
        return Cost(clock_s, use_of(os.getpid()).cpu_s - cpu_s)


def ratio(on: Sequence[float], off: Sequence[float]) -> tuple[float, float, float]:
    """Median ratio of pairs, and its 95 % interval by the bootstrap over pairs."""
    logs = np.log(np.asarray(on) / np.asarray(off))
    draws = np.random.default_rng(1).choice(logs, (RESAMPLES, logs.size))
    low, high = np.quantile(np.median(draws, axis=1), (0.025, 0.975))
    return float(np.exp(np.median(logs))), float(np.exp(low)), float(np.exp(high))


@asynccontextmanager
async def works(settings: Settings) -> AsyncIterator[tuple[Work, Work]]:
    """A recording for the audio service and a page for the page service, in this process."""
    async with AsyncExitStack() as open_things:
        made = []
        for api, backend, scope, path, file in (
            (AudioApi(), AudioBackend(settings), Scope.AMT, "/v1/transcribe", RECORDING),
            (PageApi(), PageBackend(settings), Scope.OMR, "/v1/recognize", PAGE),
        ):
            open_things.push_async_callback(backend.close)
            await backend.warm_up()
            api.backend = backend  # type: ignore[assignment]
            gate = Gate(settings, scope)
            edge = Edge(_nothing, router=Router(api.routes()), service=scope.value, gate=gate)  # type: ignore[attr-defined]
            client = await open_things.enter_async_context(
                httpx.AsyncClient(transport=httpx.ASGITransport(edge), base_url="http://here")
            )
            made.append(Work(file.name, _sender(client, path, file)))
        recording, page = made
        yield recording, page


def _sender(client: httpx.AsyncClient, path: str, file: Path) -> Callable[[], Coroutine[Any, Any, None]]:
    content = file.read_bytes()

    async def send() -> None:
        answer = await client.post(path, files={"file": (file.name, content)}, data={"formats": "midi"})
        answer.raise_for_status()

    return send


async def _nothing(*_: object) -> None:
    """What the edge would wrap in a serving process."""


async def measure(settings: Settings, pairs: int) -> tuple[Work, Work]:
    """Send both works that often with monitoring, and as often without; once each before, to warm up."""
    order = np.random.default_rng(1)
    async with works(settings) as (recording, page):
        for work in (recording, page):
            await work.send()
        for _ in range(pairs):
            for work in (recording, page):
                await work.pair(on_first=order.random() < 0.5)
    return recording, page


def report(done: Sequence[Work]) -> str:
    """The figures, as lines."""
    lines = [
        f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}; "
        f"{len(done[0].on)} pairs of requests each, one with monitoring and one without:",
        f"  {'':<22}{'on':>9}{'off':>9}   on / off (95 % interval)",
    ]
    for work in done:
        for what, read in (("clock", lambda cost: cost.clock_s), ("CPU", lambda cost: cost.cpu_s)):
            on, off = [read(cost) for cost in work.on], [read(cost) for cost in work.off]
            middle, low, high = ratio(on, off)
            lines.append(
                f"  {work.name:<15}{what:<7}{statistics.median(on):>7.2f} s{statistics.median(off):>7.2f} s"
                f"   {middle:.3f} ({low:.3f} to {high:.3f})"
            )
        spent_s, cpu_s = statistics.median(work.spent_s), statistics.median(cost.cpu_s for cost in work.on)
        share = 100 * spent_s / cpu_s
        lines.append(f"  {'':<15}of which monitoring {1000 * spent_s:.1f} ms of CPU, {share:.2f} %")
    began = time.process_time()
    written = metrics.exposition()
    scrape_s = time.process_time() - began
    lines.append(
        f"  a scrape       {1000 * scrape_s:.1f} ms of CPU for {len(written) >> 10} KiB: "
        f"{100 * scrape_s / SCRAPE_EVERY_S:.2f} % of a core at one every {SCRAPE_EVERY_S} s"
    )
    return "\n".join(lines)


def main() -> None:
    """Start a Triton, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=40, help="of requests, for each of the two services")
    arguments = parser.parse_args()
    if MULTIPROCESS not in os.environ:
        # Read when metrics are first imported: this process must begin with it, as serving ones do.
        with tempfile.TemporaryDirectory(prefix="copyist-bench-") as folder:
            again = [sys.executable, "-m", "loadtests.bench_monitoring", *sys.argv[1:]]
            sys.exit(subprocess.run(again, env={**os.environ, MULTIPROCESS: folder}, check=False).returncode)
    with tempfile.TemporaryDirectory(prefix="copyist-bench-") as folder:
        options = replace(private(Path(folder), StackOptions()), programs=("triton",))
        with LocalStack(options, report=print):
            settings = Settings.from_environment(options.variables)
            done = asyncio.run(measure(settings, arguments.pairs))
    print(report(done))


if __name__ == "__main__":
    main()
