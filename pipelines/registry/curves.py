"""Writes the curves of a training run to MLflow while it runs."""

from __future__ import annotations

import csv
import logging
import threading
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from mlflow.exceptions import MlflowException

from pipelines.registry.registry import Registry
from pipelines.training.curves import LOSSES, VALIDATION

_LOOK_S: Final = 2.0
_log = logging.getLogger("copyist.registry")


class Curves:
    """Follows the CSV files of a training run; a context manager around it.

    Args:
        registry: takes the rows.
        mlflow_run: whose curves they are.
        folder: of the training run.
    """

    def __init__(self, registry: Registry, mlflow_run: str, folder: Path) -> None:
        self._registry = registry
        self._mlflow_run = mlflow_run
        self._files = {"loss": folder / LOSSES, "validation": folder / VALIDATION}
        self._until = dict.fromkeys(self._files, -1)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="curves", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._write()

    def _follow(self) -> None:
        while not self._ended.wait(_LOOK_S):
            try:
                self._write()
            except (MlflowException, OSError) as error:
                # The curves are also in the run's folder: training goes on without them.
                _log.warning("curves could not be written to MLflow: %s", error)

    def _write(self) -> None:
        for kind, path in self._files.items():
            rows = [row for row in _rows(path) if row["step"] > self._until[kind]]
            if rows:
                metrics = [
                    (f"{kind}/{name}", value, int(row["step"]))
                    for row in rows
                    for name, value in row.items()
                    if name != "step"
                ]
                self._registry.log(self._mlflow_run, metrics=metrics)
                self._until[kind] = int(rows[-1]["step"])


def _rows(path: Path) -> list[dict[str, float]]:
    """The whole rows of a file that is being written."""
    if not path.exists():
        return []
    whole = path.read_text("utf-8").rpartition("\n")[0].splitlines()
    return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(whole)]
