"""What differs between the models: how each gets its data, is trained, exported and measured."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from pipelines.retraining.run import RunRecord


class Family(Protocol):
    """A module of this package, named after its model. Folders are those of the steps of a run."""

    def build(self, collected: Path, record: RunRecord, folder: Path) -> None:
        """Make the data to learn from, and to validate on, in `folder`; what is there is kept."""
        ...

    def train(self, collected: Path, built: Path, record: RunRecord, champion: Path, folder: Path) -> None:
        """Train to the end of the budget, on from the last checkpoint in `folder / RUN`.

        Leaves `WEIGHTS` and, beside it, `losses.csv`, `validation.csv`, `curves.png` and `recipe.json`.
        """
        ...

    def export(self, trained: Path, model: Path) -> None:
        """Write the trained network as ONNX.

        Raises:
            ValueError: what ONNX Runtime makes of it is not what the framework does.
        """
        ...

    def parity(self, built: Path, trained: Path, model: Path) -> Mapping[str, float]:
        """How far ONNX Runtime differs from the framework on real inputs; `tolerated` says how far it may.

        Raises:
            ValueError: by more than that.
        """
        ...

    def card(
        self, collected: Path, built: Path, trained: Path, model: Path, champion: Mapping[str, Any]
    ) -> dict[str, Any]:
        """What the exported model is, and what it reaches on held-out material; without a profile."""
        ...

    def profile(self, model: Path, card: Mapping[str, Any], record: RunRecord) -> Mapping[str, Any] | None:
        """The reference profile for the card; None for a model that has none."""
        ...


def family(model: str) -> Family:
    """The family of a model."""
    return cast(Family, import_module(f"pipelines.retraining.families.{model}"))
