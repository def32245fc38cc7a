"""`make test-release`: releases of good and bad candidates under load, on the real stack.

Triton, the services, the model sync, Prometheus and the release watch run for real, while short recordings
come at random times. The watch decides on fewer samples than by default, so that this takes minutes. The exit
status is 0 when everything held.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from loadtests.release.outcome import Outcome, table
from loadtests.release.scenarios import CALM_S, SCENARIOS, Stage, calm, played, while_loading
from loadtests.release.site import HURRY, Site
from services.errors import CopyistError


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--scenario", choices=SCENARIOS, action="append", help="give it again for another; default: all")
    add("--rate", type=float, default=1.0, help="requests a second")
    add("--share", type=float, default=0.05, help="the first one that candidates take")
    add("--calm", type=float, default=CALM_S, help="seconds of requests before anything is released")
    add("--seed", type=int, default=1)
    add("--out", type=Path, default=Path("out/release"), help="folder of the results")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    try:
        outcomes = run(args)
    except (CopyistError, TimeoutError, RuntimeError) as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    print("\n".join(["", *table(outcomes)]))
    held = all(each.held for each in outcomes)
    settings = {
        "rate_hz": args.rate,
        "share": args.share,
        "seed": args.seed,
        "watch": HURRY,
        "cores": os.cpu_count(),
    }
    report = {**settings, "held": held, "scenarios": [each.plain() for each in outcomes]}
    (args.out / "release.json").write_text(json.dumps(report, indent=1))
    print("everything held" if held else "NOT everything held")
    return 0 if held else 1


def run(args: argparse.Namespace) -> list[Outcome]:
    """Run the scenarios on one stack, one after the other."""
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="copyist-release-") as temporary:
        with Site(Path(temporary), _say) as site, site.traffic(args.rate, seed=args.seed) as traffic:
            stage = Stage(site, traffic, args.calm, args.share)
            first = calm(stage)
            outcomes.append(first)
            for name in args.scenario or SCENARIOS:
                outcomes.append(played(name, stage))
                _say("\n".join(table(outcomes[-1:])[1:]))
            outcomes.append(while_loading(stage, first.figures["p99 s"]))
        for log in (Path(temporary) / "release-watch.log", *(Path(temporary) / "run").glob("*.log")):
            (args.out / log.name).write_bytes(log.read_bytes())
    return outcomes


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
