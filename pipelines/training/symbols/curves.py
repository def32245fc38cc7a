"""The picture of a training run: its losses and its scores on other scores' pages."""

from __future__ import annotations

import csv
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

from pipelines.training.symbols.losses import WEIGHTS


def _columns(path: Path) -> dict[str, list[float]]:
    with path.open() as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in rows[0]}


def draw_curves(folder: Path) -> None:
    """Write `curves.png` from the run's `losses.csv` and `validation.csv`."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4), constrained_layout=True)
    if (folder / "losses.csv").exists():
        losses = _columns(folder / "losses.csv")
        for name in WEIGHTS:
            left.plot(losses["step"], losses[name], label=name)
    left.set(yscale="log", xlabel="step", title="training loss")
    left.legend(fontsize="small", ncols=2)
    scores = _columns(folder / "validation.csv")
    for name in ("head_f1", "position", "duration", "mean_ap"):
        right.plot(scores["step"], scores[name], marker=".", label=name)
    right.set(ylim=(0, 1), xlabel="step", title="pages of other scores")
    right.legend()
    right.grid(alpha=0.3)
    figure.savefig(folder / "curves.png", dpi=110)
    pyplot.close(figure)
