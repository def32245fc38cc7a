"""What the programs of a local stack use: memory and CPU time, all their processes counted."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import psutil

from services.local.state import StackState


@dataclass(frozen=True, slots=True)
class Use:
    """What one program used up to a moment: resident memory in bytes, and CPU seconds since it began."""

    rss_bytes: int
    cpu_s: float


def use_of(pid: int) -> Use:
    """What a process and its children use now; of children that ended, the CPU time alone.

    Pages that processes share are counted for each. Raises psutil.NoSuchProcess where the process is gone.
    """
    parent = psutil.Process(pid)
    rss, cpu_s = 0, 0.0
    for each in (parent, *parent.children(recursive=True)):
        try:
            with each.oneshot():
                times = each.cpu_times()
                rss += each.memory_info().rss
                cpu_s += times.user + times.system + times.children_user + times.children_system
        except psutil.NoSuchProcess:
            continue
    return Use(rss, cpu_s)


def uses_of(state: StackState | None) -> dict[str, Use]:
    """What each program of a stack uses now; those that do not run are left out."""
    uses = {}
    for name, program in (state.programs if state is not None else {}).items():
        if program.process is None:
            continue
        try:
            uses[name] = use_of(program.process.pid)
        except psutil.NoSuchProcess:
            continue
    return uses


@dataclass(frozen=True, slots=True)
class Footprint:
    """What one program used during a test.

    Attributes:
        start_mib, peak_mib, end_mib: resident memory.
        cpu_s: CPU time.
    """

    start_mib: float
    peak_mib: float
    end_mib: float
    cpu_s: float


@dataclass
class Footprints:
    """Looks at the programs again and again.

    Attributes:
        look_up: tells what runs; None where nothing is known of it, as on another machine.
        samples: what was seen, with the time since the start.
    """

    look_up: Callable[[], StackState | None]
    samples: list[tuple[float, dict[str, Use]]] = field(default_factory=list)
    _began: float = field(default_factory=time.perf_counter)

    def look(self) -> None:
        """Look once."""
        self.samples.append((time.perf_counter() - self._began, uses_of(self.look_up())))

    def by_program(self) -> Mapping[str, Footprint]:
        """Sum up; of a program that was started again, the CPU time of every process counts."""
        names = {name for _, uses in self.samples for name in uses}
        return {
            name: _footprint([uses[name] for _, uses in self.samples if name in uses])
            for name in sorted(names)
        }


def _footprint(uses: list[Use]) -> Footprint:
    mib = [use.rss_bytes / 2**20 for use in uses]
    # A new process begins at nothing again: what it has then is all its own.
    grown = [b.cpu_s - a.cpu_s if b.cpu_s >= a.cpu_s else b.cpu_s for a, b in pairwise(uses)]
    return Footprint(mib[0], max(mib), mib[-1], sum(grown))
