"""The record of a training run: its rows of figures, and the picture of them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

LOSSES = "losses.csv"
VALIDATION = "validation.csv"


def append_row(path: Path, row: Mapping[str, float]) -> None:
    """Add a row to a CSV file, its header first where the file is new."""
    fresh = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if fresh:
            writer.writeheader()
        writer.writerow(row)


def keep_rows(path: Path, until: int) -> None:
    """Drop the rows of steps after `until`, as a run that goes on from there writes them again."""
    if not path.exists():
        return
    header, *rows = path.read_text("utf-8").splitlines()
    kept = [row for row in rows if int(row.partition(",")[0]) <= until]
    path.write_text("\n".join([header, *kept]) + "\n", "utf-8")


def draw_curves(folder: Path, losses: Iterable[str], scores: Iterable[str], judged_on: str) -> None:
    """Write `curves.png` from the run's `losses.csv` and `validation.csv`.

    Args:
        folder: of the run.
        losses, scores: the columns to draw.
        judged_on: what the scores were measured on.
    """
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4), constrained_layout=True)
    if (folder / LOSSES).exists():
        learnt = _columns(folder / LOSSES)
        for name in losses:
            left.plot(learnt["step"], learnt[name], label=name)
    left.set(yscale="log", xlabel="step", title="training loss")
    left.legend(fontsize="small", ncols=2)
    reached = _columns(folder / VALIDATION)
    for name in scores:
        right.plot(reached["step"], reached[name], marker=".", label=name)
    right.set(ylim=(0, 1), xlabel="step", title=judged_on)
    right.legend()
    right.grid(alpha=0.3)
    figure.savefig(folder / "curves.png", dpi=110)
    pyplot.close(figure)


def _columns(path: Path) -> dict[str, list[float]]:
    with path.open() as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in rows[0]}
