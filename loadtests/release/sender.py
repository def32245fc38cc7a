"""The process that sends `loadtests.release.traffic`'s requests: by Locust, until told to end (SIGTERM)."""

from __future__ import annotations

# Locust first: it puts gevent's sockets and locks in the place of Python's, which others then import.
import locust  # isort: skip  # noqa: F401

import argparse
import json
import signal
import sys
import time
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO

import gevent
from locust.env import Environment

from loadtests.callers import Targets
from loadtests.kinds import of_way, parse_mix
from loadtests.records import Record
from loadtests.release.traffic import Sent
from loadtests.samples import samples
from loadtests.users import USERS, Load

#: It ends by itself after so long, whatever became of who started it.
_LONGEST_S = 7200.0
_DRAIN_S = 120.0


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", type=json.loads, help="of loadtests.callers.Targets, as JSON")
    parser.add_argument("out", type=Path, help="file of the records, a line of JSON each")
    parser.add_argument("--rate", type=float, required=True, help="requests a second")
    parser.add_argument("--mix", type=parse_mix, required=True)
    parser.add_argument("--seed", type=int, required=True)
    args = parser.parse_args()
    load = Load(
        targets=Targets(**args.targets),
        samples=samples(),
        mix=args.mix,
        rate_hz=args.rate,
        seconds=_LONGEST_S,
        drain_s=_DRAIN_S,
        seed=args.seed,
        start=0.0,
    )
    with args.out.open("w") as out:
        _play(load, out)
    return 0


def _play(load: Load, out: IO[str]) -> None:
    epoch = time.time() - time.perf_counter()

    def on_request(context: Mapping[str, Record], **_: object) -> None:
        record = context["record"]
        at = epoch + load.start + record.planned_s
        sent = Sent(record.kind.name, at, record.latency_s, record.outcome, record.version)
        out.write(json.dumps(asdict(sent)) + "\n")
        out.flush()

    users = [user for user in USERS if of_way(load.mix, user.way)]
    environment = Environment(user_classes=users, parsed_options=Namespace(load=load), catch_exceptions=False)
    environment.events.request.add_listener(on_request)
    runner = environment.create_local_runner()
    gevent.signal_handler(signal.SIGTERM, load.over.set)
    load.start = time.perf_counter() + 0.5
    runner.start(user_count=len(users), spawn_rate=100)
    while len(load.loops) < len(users) or runner.user_count:
        gevent.sleep(0.1)
    runner.quit()


if __name__ == "__main__":
    sys.exit(main())
