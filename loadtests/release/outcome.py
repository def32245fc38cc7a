"""What a release test measured, and what of it held."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from loadtests.records import DONE, EMPTY, Latencies
from loadtests.release.traffic import Sent

#: A share is kept when the requests that a version answered are no more than chance would give so seldom.
_DEVIATIONS: Final = 3.0


@dataclass(frozen=True, slots=True)
class Check:
    """Something that had to hold.

    Attributes:
        what: what had to hold.
        measured: how it was.
        held: whether it did.
    """

    what: str
    measured: str
    held: bool


@dataclass
class Outcome:
    """What became of one scenario.

    Attributes:
        name: of the scenario.
        seconds: how long it took.
        requests: that were sent in that time.
        failed: what went wrong, and how often.
        touched: requests that the version on trial answered.
        figures: what else was measured, by name.
        why: what the release watch gave as its reason, in the end.
        checks: see there.
    """

    name: str
    seconds: float = 0.0
    requests: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    touched: int = 0
    figures: dict[str, float] = field(default_factory=dict)
    why: str = ""
    checks: list[Check] = field(default_factory=list)

    def count(self, sent: Sequence[Sent], version: str) -> None:
        """Count what was sent while the scenario ran."""
        self.requests = len(sent)
        self.failed = failures(sent)
        self.touched = sum(each.version == version for each in sent)

    def check(self, what: str, measured: object, *, held: bool) -> None:
        """Note whether something held."""
        self.checks.append(Check(what, str(measured), held))

    @property
    def held(self) -> bool:
        """Whether everything did."""
        return all(check.held for check in self.checks)

    def plain(self) -> dict[str, Any]:
        """Give it as JSON has it."""
        return {**asdict(self), "held": self.held}


def failures(sent: Sequence[Sent]) -> dict[str, int]:
    """Count requests that were not answered, by what went wrong; an answer without sense is one."""
    return dict(Counter(each.outcome for each in sent if each.outcome not in (DONE, EMPTY)))


def p99_s(sent: Sequence[Sent]) -> float:
    """Give the 99th percentile of the latencies, in seconds."""
    return Latencies.of([each.latency_s for each in sent]).p99


def most_of(requests: int, share: float) -> int:
    """Tell the most requests that a version with a share of so many may answer, chance allowed for."""
    return math.ceil(requests * share + _DEVIATIONS * math.sqrt(requests * share * (1 - share)))


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """Write lines for a terminal."""
    lines = [f"{'scenario':36}{'took s':>8}{'requests':>10}{'failed':>8}{'touched':>9}"]
    for each in outcomes:
        failed = sum(each.failed.values())
        lines.append(f"{each.name:36}{each.seconds:>8.0f}{each.requests:>10}{failed:>8}{each.touched:>9}")
        if each.why:
            lines.append(f"    why: {each.why}")
        lines += [f"    {name}: {value:.3g}" for name, value in each.figures.items()]
        lines += [
            f"    {'held  ' if check.held else 'BROKEN'}  {check.what}: {check.measured}"
            for check in each.checks
        ]
    return lines
