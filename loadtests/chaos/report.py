"""What a chaos test found, as a table for people and as JSON."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from loadtests.chaos.checks import Check, resumed_s, takeover_s
from loadtests.chaos.killing import Kill, Target
from loadtests.chaos.stagelogs import StageLogs
from loadtests.chaos.watching import Watch


@dataclass
class Outcome:
    """What a chaos test found.

    Attributes:
        database: SQLite or PostgreSQL.
        seed: of what was drawn.
        jobs: the jobs' ids.
        kills: what was killed.
        missed: what could not be met in time.
        watch: when attempts began and jobs ended.
        began_at: when the jobs were handed in, on the clock of `time.monotonic`.
        attempts: how many jobs were begun so many times.
        logs: what the workers wrote.
        checks: what had to hold.
    """

    database: str
    seed: int
    watch: Watch
    jobs: list[str] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    missed: list[Target] = field(default_factory=list)
    began_at: float = 0.0
    attempts: Counter[int] = field(default_factory=Counter)
    logs: StageLogs | None = None
    checks: list[Check] = field(default_factory=list)


def table(outcome: Outcome) -> list[str]:
    """Lines for people."""
    watch, began = outcome.watch, outcome.began_at
    lines = [
        "",
        f"On {outcome.database}, seed {outcome.seed}:",
        "",
        "    time  killed                    taken over   begun again",
    ]
    delays = []
    for kill in outcome.kills:
        delay, resumed = (takeover_s(kill, watch), resumed_s(kill, watch)) if kill.job else (None, None)
        delays += [delay] if delay is not None else []
        went_on = "" if delay is None else f"{delay:5.1f} s      {resumed:5.1f} s"
        lines.append(f"{kill.at - began:6.1f} s  {kill.target.name:24}  {went_on}")
    took = sorted(watch.ended_at[job] - began for job in outcome.jobs if job in watch.ended_at)
    attempts = ", ".join(f"{count} in {number}" for number, count in sorted(outcome.attempts.items()))
    lines += ["", f"jobs       {len(outcome.jobs)}, ended {len(took)}; attempts: {attempts}"]
    if took:
        half, last = took[len(took) // 2], took[-1]
        lines.append(f"time       half of them had ended after {half:.0f} s, the last after {last:.0f} s")
    if delays:
        lines.append(f"takeover   longest {max(delays):.1f} s, of {len(delays)}")
    if (logs := outcome.logs) is not None:
        lines.append(f"stages     began {logs.began} times, ended {logs.ended}, again {len(logs.again)}")
    lines.append("")
    for check in outcome.checks:
        lines.append(f"{'FAILED' if check.broken else 'ok':8} {check.what}")
        lines += [f"         {each}" for each in check.broken[:10]]
    return lines


def plain(outcome: Outcome) -> dict[str, Any]:
    """The same for machines."""
    return {
        "database": outcome.database,
        "seed": outcome.seed,
        "jobs": len(outcome.jobs),
        "attempts": {str(number): count for number, count in outcome.attempts.items()},
        "kills": [
            {
                "what": kill.target.name,
                "at_s": kill.at - outcome.began_at,
                "takeover_s": takeover_s(kill, outcome.watch) if kill.job else None,
                "resumed_s": resumed_s(kill, outcome.watch) if kill.job else None,
            }
            for kill in outcome.kills
        ],
        "checks": [asdict(check) for check in outcome.checks],
    }
