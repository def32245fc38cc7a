"""A load test of the services: `make load`, `make load MODE=overload`.

Requests of many kinds come at random (Poisson) at a given rate, whether or not earlier ones have been
answered, and every latency counts from the time at which the request was to be sent. The exit status is 0
when nothing went wrong other than refusals with 429.
"""

from __future__ import annotations

# Locust first: it puts gevent's sockets and locks in the place of Python's, which others then import.
import locust  # isort: skip  # noqa: F401

import argparse
import os
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import gevent
from locust import User
from locust.env import Environment

from loadtests.callers import Targets
from loadtests.capacity import CapacityError, capacity_hz
from loadtests.footprint import Footprints
from loadtests.kinds import DEFAULT_MIX, Kind, of_way, parse_mix
from loadtests.records import DONE, NOT_SENT, REFUSED
from loadtests.report import Report, table, write
from loadtests.samples import samples
from loadtests.users import USERS, Load, listen
from services.errors import CopyistError
from services.local import stack as local
from services.local.options import StackOptions
from services.local.stack import LocalStack
from services.local.state import StackState

PROGRESS_EVERY_S: Final = 5.0
LOOK_EVERY_S: Final = 0.5
#: Time for the users to be there before the first request.
BEGIN_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Mode:
    """A kind of test.

    Attributes:
        share: of the capacity, that requests come at.
        seconds: how long they come.
        variables: of the stack that is started for it, unless set already.
    """

    share: float
    seconds: float
    variables: Mapping[str, str]


MODES: Final = {
    "load": Mode(0.5, 120.0, {}),
    # So few unfinished jobs that the limit is met within a minute.
    "overload": Mode(2.5, 60.0, {"COPYIST_MAX_JOBS": "20"}),
}


@dataclass(frozen=True, slots=True)
class Stand:
    """The stack that is tested, and how to see what its programs use."""

    targets: Targets
    look_up: Callable[[], StackState | None]


def main() -> int:
    """Run the command line."""
    args = _arguments()
    mode = MODES[args.mode]
    try:
        with ExitStack() as open_things:
            stand = _stand(args.host, mode, open_things)
            return _test(args, mode, stand)
    except (CopyistError, CapacityError) as error:
        print(f"load: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--mode", choices=MODES, default="load", help="near half the capacity, or well beyond it")
    add(
        "--rate",
        type=_positive,
        help="requests a second; default: a share of the capacity, which is measured first",
    )
    add("--seconds", type=_positive, help="how long requests come")
    add("--mix", type=parse_mix, default=DEFAULT_MIX, help=f"default: {DEFAULT_MIX}")
    add(
        "--host",
        help="of services that run already, on the ports of the settings; default: a stack of its own",
    )
    add("--seed", type=int, default=1, help="of the arrivals")
    add("--drain", type=_positive, default=180.0, help="seconds that the last answers are waited for")
    add("--out", type=Path, default=Path("out/load"), help="folder of the results")
    return parser.parse_args()


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError(text)
    return value


def _stand(host: str | None, mode: Mode, open_things: ExitStack) -> Stand:
    if host is None:
        for name, value in mode.variables.items():
            os.environ.setdefault(name, value)
        stack = open_things.enter_context(LocalStack(report=_say))
        return Stand(_targets(stack.options), stack.state)
    options = StackOptions.from_environment()
    there = _targets(options, host)
    return Stand(there, lambda: local.state(options) if host == options.host else None)


def _targets(options: StackOptions, host: str | None = None) -> Targets:
    host = host or options.host
    return Targets(
        http={
            "recording": f"http://{host}:{options.amt_http_port}",
            "page": f"http://{host}:{options.omr_http_port}",
        },
        grpc={"recording": f"{host}:{options.amt_grpc_port}", "page": f"{host}:{options.omr_grpc_port}"},
    )


def _test(args: argparse.Namespace, mode: Mode, stand: Stand) -> int:
    load = Load(
        targets=stand.targets,
        samples=samples(),
        mix=args.mix,
        rate_hz=args.rate or 0.0,
        seconds=args.seconds or mode.seconds,
        drain_s=args.drain,
        seed=args.seed,
        start=0.0,
    )
    busy = os.getloadavg()[0]
    _say(f"{os.cpu_count()} cores, load average {busy:.1f}")
    capacity = None
    if args.rate is None:
        capacity = _capacity(load)
        load.rate_hz = mode.share * capacity
        _say(f"capacity {capacity:.2f} requests a second; they will come at {load.rate_hz:.2f} a second")
    footprints = Footprints(stand.look_up)
    seconds = _run(load, footprints)
    settings = {
        "mode": args.mode,
        "rate_hz": round(load.rate_hz, 3),
        "capacity_hz": capacity and round(capacity, 3),
        "seconds": load.seconds,
        "seed": load.seed,
        "cores": os.cpu_count(),
        "load_average_before": busy,
        "mix": {kind.name: share for kind, share in load.mix.items()},
    }
    report = Report(settings, seconds, load.records, footprints.by_program(), footprints.samples)
    print("\n".join(["", *table(report), ""]))
    print("files: " + ", ".join(map(str, write(report, args.out, args.mode))))
    print(_verdict(report))
    return 1 if report.failures else 0


def _capacity(load: Load) -> float:
    """Measure the capacity after one short request of each kind has warmed the services up."""
    _say("measuring the capacity")
    callers = {user.way: user.make_caller(load) for user in USERS if of_way(load.mix, user.way)}
    try:
        for kind in load.mix:
            if kind.length == "short" or Kind(kind.way, kind.subject, "short") not in load.mix:
                callers[kind.way].call(kind)
        return capacity_hz(callers, load.mix, _say)
    finally:
        for caller in callers.values():
            caller.close()


def _run(load: Load, footprints: Footprints) -> float:
    """Let the users play; gives the seconds until the last answer."""
    users: list[type[User]] = [user for user in USERS if of_way(load.mix, user.way)]
    environment = Environment(user_classes=users, parsed_options=Namespace(load=load), catch_exceptions=False)
    environment.events.request.add_listener(listen(load))
    runner = environment.create_local_runner()
    load.start = time.perf_counter() + BEGIN_S
    footprints.look()
    watching = [gevent.spawn(_every, LOOK_EVERY_S, footprints.look)]
    watching.append(gevent.spawn(_every, PROGRESS_EVERY_S, lambda: _progress(load)))
    runner.start(user_count=len(users), spawn_rate=100)
    while len(load.loops) < len(users) or runner.user_count:
        gevent.sleep(0.1)
    seconds = max(load.seconds, max((r.planned_s + r.latency_s for r in load.records), default=0.0))
    gevent.killall(watching)
    footprints.look()
    runner.quit()
    return seconds


def _every(seconds: float, look: Callable[[], None]) -> None:
    while True:
        gevent.sleep(seconds)
        look()


def _progress(load: Load) -> None:
    outcomes = [record.outcome for record in load.records]
    done, refused, not_sent = (outcomes.count(each) for each in (DONE, REFUSED, NOT_SENT))
    in_flight = sum(loop.in_flight for loop in load.loops)
    _say(
        f"{time.perf_counter() - load.start:5.0f} s  in flight {in_flight:3}  done {done:4}  "
        f"429s {refused:4}  errors {len(outcomes) - done - refused - not_sent}  not sent {not_sent}"
    )


def _verdict(report: Report) -> str:
    if report.failures:
        return f"{report.failures} requests failed otherwise than by 429."
    return "No request failed otherwise than by 429."


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
