"""What the workers' logs tell: which stage of which job began and ended, in every attempt."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

BEGAN: Final = "stage began"
ENDED: Final = "stage ended"
COMPLETED: Final = "job ended: completed"


@dataclass(frozen=True, slots=True)
class StageLogs:
    """What the logs of all workers add up to.

    Attributes:
        began, ended: how often a stage did, over all jobs.
        again: job and stage of those that began although they had ended before.
        completed: how often each job was told to be completed.
    """

    began: int
    ended: int
    again: tuple[tuple[str, str], ...]
    completed: Counter[str]


def read_logs(paths: Iterable[Path]) -> StageLogs:
    """Read the logs of all workers; they must be in JSON."""
    lines = sorted((line for path in paths for line in _lines(path)), key=lambda line: str(line["time"]))
    began, again = 0, []
    ended: set[tuple[str, str]] = set()
    completed: Counter[str] = Counter()
    for line in lines:
        message, stage = line["message"], (str(line.get("job")), str(line.get("stage")))
        if message == BEGAN:
            began += 1
            if stage in ended:
                again.append(stage)
        elif message == ENDED:
            ended.add(stage)
        elif message == COMPLETED:
            completed[str(line["job"])] += 1
    return StageLogs(began, len(ended), tuple(again), completed)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    for text in path.read_text(errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:  # half a line of a worker that was killed
            continue
        if isinstance(line, dict) and "time" in line and "message" in line:
            yield line
