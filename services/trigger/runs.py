"""What Prometheus is told of all retraining runs, whoever began them, as their folders have it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

#: In a run's folder: where it stands, written by `copyist retrain`.
_STATE: Final = "state.json"
_RUNNING: Final = "running"
#: Models, steps and states are a few words; anything else is no state of a run.
_WORD: Final = re.compile(r"[a-z][a-z -]{0,31}")


class RunsCollector(Collector):
    """Reads the runs' folders whenever Prometheus asks.

    Args:
        folder: of the runs; that it is not there means that there are none.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Give how many runs there are by state, and those under way by the step that they are at."""
        states: Counter[tuple[str, str]] = Counter()
        steps: Counter[tuple[str, str]] = Counter()
        for model, state, step in self._told():
            states[model, state] += 1
            if state == _RUNNING:
                steps[model, step] += 1
        runs = GaugeMetricFamily(
            "copyist_retraining_runs",
            "Runs of retraining that are kept, by state.",
            labels=["model", "state"],
        )
        for labels, number in states.items():
            runs.add_metric(labels, number)
        yield runs
        at = GaugeMetricFamily(
            "copyist_retraining_step",
            "Runs of retraining under way, by the step that they are at.",
            labels=["model", "step"],
        )
        for labels, number in steps.items():
            at.add_metric(labels, number)
        yield at

    def _told(self) -> Iterator[tuple[str, str, str]]:
        """Model, state and step of each run; one that is just being written is left out."""
        for file in self._folder.glob(f"*/{_STATE}"):
            try:
                said = json.loads(file.read_text("utf-8"))
                words = said["model"], said["state"], said["step"]
            except (OSError, ValueError, KeyError, TypeError):
                continue
            if all(isinstance(word, str) and _WORD.fullmatch(word) for word in words):
                yield words
