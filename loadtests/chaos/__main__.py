"""`make chaos-jobs`: programs are killed with SIGKILL while jobs are under way; all must be done, once.

On SQLite with a folder, and on PostgreSQL with an object storage: so many jobs are handed in at once, then
workers die in every stage, and the services, Triton and the database server too, at random moments drawn from
a seed. The exit status is 0 when everything held.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from loadtests.chaos.checks import (
    check_files,
    check_jobs,
    check_kills,
    check_leftovers,
    check_logs,
)
from loadtests.chaos.killing import Kill, Killer, plan
from loadtests.chaos.orders import CONTENTS, Caller, Order, orders
from loadtests.chaos.report import Outcome, plain, table
from loadtests.chaos.site import DATABASES, SERVICES, Site
from loadtests.chaos.stagelogs import read_logs
from loadtests.chaos.watching import Watch
from services.errors import CopyistError

#: Jobs that have not ended so long after the last kill never will.
FINISH_LIMIT_S: Final = 600.0
#: A worker that is to die must be met at work: a service with fewer unfinished jobs is given more.
_FEWEST_JOBS: Final = 2
_MORE_ORDERS: Final = 6


def run(database: str, jobs: int, rounds: int, added: int, seed: int) -> Outcome:
    """Run one test on one kind of database."""
    with tempfile.TemporaryDirectory(prefix="copyist-chaos-") as temporary:
        folder = Path(temporary) / "site"
        with Site(database, folder, added, _say) as site:
            outcome = Outcome(database, seed, Watch(site.database))
            caller = Caller(site)
            try:
                _run(site, caller, outcome, jobs, rounds)
            finally:
                outcome.watch.stop()
                caller.close()
        outcome.checks += check_leftovers(folder)
    return outcome


def _run(site: Site, caller: Caller, outcome: Outcome, jobs: int, rounds: int) -> None:
    watch = outcome.watch
    watch.start()
    calm = orders(CONTENTS * len(SERVICES), "calm")
    _say(f"{len(calm)} jobs undisturbed")
    calm_jobs = caller.submit_all(calm)
    _wait(watch, calm_jobs)
    expected = {
        (order.service, order.content): caller.digests(order.service, job)
        for order, job in zip(calm, calm_jobs, strict=True)
    }
    placed = orders(jobs, "chaos")
    outcome.began_at = time.monotonic()
    outcome.jobs = caller.submit_all(placed)
    _say(f"{jobs} jobs handed in; killing begins")
    _kill(site, caller, placed, outcome, rounds)
    _say("killing has ended; waiting for the jobs")
    _wait(watch, outcome.jobs)
    site.bring_all_back()
    watch.stop()
    outcome.attempts = Counter(watch.now()[job].attempts for job in outcome.jobs)
    outcome.logs = read_logs(site.logs())
    outcome.checks = [
        *check_jobs(site, caller, placed, outcome.jobs, expected),
        *check_logs(outcome.logs, outcome.jobs),
        *check_kills(outcome.kills, outcome.missed, watch),
        *check_files(site, [*calm_jobs, *outcome.jobs]),
    ]


def _kill(site: Site, caller: Caller, placed: list[Order], outcome: Outcome, rounds: int) -> None:
    def keep_busy(service: str) -> None:
        ordered = [job for order, job in zip(placed, outcome.jobs, strict=True) if order.service == service]
        if len(outcome.watch.unfinished(ordered)) < _FEWEST_JOBS:
            more = orders(_MORE_ORDERS, "chaos", first=len(placed))
            outcome.jobs += caller.submit_all(more)
            placed.extend(more)
            _say(f"{len(more)} more jobs handed in")

    def tell(kill: Kill) -> None:
        left = len(outcome.watch.unfinished(outcome.jobs))
        _say(f"{kill.at - outcome.began_at:6.1f} s  killed: {kill.target.name:24} {left} jobs unfinished")

    chance = random.Random(outcome.seed)  # noqa: S311 - no secret
    targets = plan(chance, rounds, database=site.postgres is not None)
    outcome.kills, outcome.missed = Killer(site, outcome.watch, chance, keep_busy, tell).run(targets)


def _wait(watch: Watch, jobs: Sequence[str]) -> None:
    """Wait until jobs have ended; those that do not in time are told of by the checks."""
    deadline = time.monotonic() + FINISH_LIMIT_S
    while watch.unfinished(jobs) and time.monotonic() < deadline:
        time.sleep(0.2)


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--database", choices=DATABASES, action="append", help="default: both, one after the other")
    add("--jobs", type=int, default=50, help="handed in at once; more follow while workers are still to die")
    add("--rounds", type=int, default=2, help="how often a worker dies in each stage, and each other program")
    add("--added", type=int, default=1, help="workers of each service beside the stack's own")
    add("--seed", type=int, default=1)
    add("--out", type=Path, default=Path("out/chaos"), help="folder of the results")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    # That the database is away is this test's own doing.
    logging.getLogger("copyist.database").setLevel(logging.ERROR)
    held = True
    for database in args.database or DATABASES:
        try:
            outcome = run(database, args.jobs, args.rounds, args.added, args.seed)
        except CopyistError as error:
            print(f"chaos: {error}", file=sys.stderr)
            return 1
        print("\n".join(table(outcome)), flush=True)
        (args.out / f"{database}.json").write_text(json.dumps(plain(outcome), indent=1))
        held = held and not any(check.broken for check in outcome.checks)
    return 0 if held else 1


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
