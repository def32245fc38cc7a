"""What the gates found of a candidate, and the limits that they hold it to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Final

from pipelines.release.record import LARGEST_FILE_BYTES

#: The gates, in the order in which they are asked.
GATES: Final = ("contract", "card", "size", "quality", "batch", "split", "latency")


@dataclass(frozen=True, slots=True)
class Budgets:
    """How much worse than the champion a candidate may be, and what it may cost.

    Attributes:
        loss: a fall of a mean measure over a whole test set that nobody would notice, 0 to 1.
        slice_loss: the same over a slice.
        unproven_loss: a fall over a whole test set that the evaluation must rule out, with 95 % confidence, 0
            to 1; where it cannot, there were too few pieces.
        false_alarm: chance that the gate `quality` stops a candidate that is no worse, 0 to 1.
        split_agreement: least F1 between two readings of one input that was cut in other places.
        latency_ratio: time of the candidate for one call, over the champion's.
        size_bytes: of the model's file.
    """

    loss: float = 0.005
    slice_loss: float = 0.01
    unproven_loss: float = 0.05
    false_alarm: float = 0.05
    split_agreement: float = 0.98
    latency_ratio: float = 1.25
    size_bytes: int = LARGEST_FILE_BYTES


#: What candidates are held to unless somebody says otherwise.
BUDGETS: Final = Budgets()


@dataclass(frozen=True, slots=True)
class Finding:
    """What one gate found.

    Attributes:
        gate: one of `GATES`.
        passed: whether the candidate may pass.
        text: one sentence that a person can act on.
        figures: the numbers behind it.
    """

    gate: str
    passed: bool
    text: str
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What all gates found.

    Attributes:
        model: its name.
        findings: at least one of every gate that was asked, those that failed first.
        skipped: what was not looked at, and why: a sentence each.
    """

    model: str
    findings: tuple[Finding, ...]
    skipped: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the candidate passed every gate."""
        return all(finding.passed for finding in self.findings)

    @property
    def failed_gates(self) -> tuple[str, ...]:
        """The gates that stopped it, each once, in the order of `GATES`."""
        failed = {finding.gate for finding in self.findings if not finding.passed}
        return tuple(gate for gate in GATES if gate in failed)

    @property
    def reason(self) -> str:
        """One line for a log: `passed all gates`, or the first failure of each gate that failed."""
        if self.passed:
            return "passed all gates"
        first = {f.gate: f.text for f in reversed(self.findings) if not f.passed}
        return "; ".join(f"gate {gate}: {first[gate]}" for gate in self.failed_gates)

    def encode(self) -> str:
        """Write as JSON."""
        return json.dumps({"passed": self.passed, **asdict(self)}, indent=1) + "\n"

    @staticmethod
    def decode(text: str) -> Verdict:
        """Read what `encode` wrote."""
        said = json.loads(text)
        findings = tuple(Finding(**finding) for finding in said["findings"])
        return Verdict(said["model"], findings, tuple(said["skipped"]))
