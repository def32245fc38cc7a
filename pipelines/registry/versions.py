"""The versions of a model, shown side by side."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from pipelines.evaluation.gates.comparison import compare
from pipelines.evaluation.gates.evaluate import evaluate_all
from pipelines.evaluation.gates.report import table_of
from pipelines.registry.retraining import open_registry
from services.runtime.release.artefacts import Artefacts
from services.runtime.release.board import open_board
from services.runtime.release.manifest import ModelRelease, ModelVersion
from services.runtime.settings import Settings

#: What is no measure of how well a model reads or hears.
_ASIDE: Final = ("loss/", "validation/", "parity/")


@dataclass(frozen=True, slots=True)
class Listed:
    """A version as it is listed.

    Attributes:
        version: its number.
        serves: its role and share of the requests; empty for none.
        aliases: its names in MLflow.
        measures: what was measured of it, by MLflow's names.
        note: how it came to be.
    """

    version: str
    serves: str
    aliases: tuple[str, ...]
    measures: Mapping[str, float]
    note: str


def listed(model: str) -> list[Listed]:
    """List the versions of a model; those not registered yet are registered."""
    settings = Settings.from_environment()
    artefacts = Artefacts(settings.models_url, settings.model_repository)
    release = open_board(settings.release_url).read().models.get(model)
    shipped = artefacts.shipped(model)
    registry = open_registry()
    registry.register(model, artefacts)
    registry.follow(model, release, shipped)
    aliases = registry.aliases(model)
    return [
        Listed(
            version=(number := str(each.version)),
            serves=_serves(number, release, shipped),
            aliases=tuple(sorted(alias for alias, of in aliases.items() if of == number)),
            measures=registry.metrics_of(model, number),
            note=each.description or "",
        )
        for each in registry.versions(model)
    ]


def show(model: str) -> None:
    """Print the versions of a model side by side."""
    versions = listed(model)
    table = Table(model, *(each.version for each in versions), box=None)
    for column in table.columns[1:]:
        column.justify, column.min_width = "right", 8
    table.add_row("serves", *(each.serves for each in versions))
    table.add_row("alias", *(", ".join(each.aliases) for each in versions))
    for measure in _measures(versions):
        table.add_row(measure, *(_figure(each.measures.get(measure)) for each in versions))
    Console().print(table)
    for each in versions:
        Console().print(f"  {each.version}: {each.note or 'no note'}", style="dim", highlight=False)


def show_difference(model: str, before: str, after: str, pieces: int) -> None:
    """Print where one version differs from another, evaluating both where that was not done yet."""
    settings = Settings.from_environment()
    artefacts = Artefacts(settings.models_url, settings.model_repository)
    # Both, before any is evaluated: that takes minutes.
    versions = [artefacts.find(model, number) for number in (before, after)]
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        for version in versions:
            folder = Path(scratch, version.number)
            if not folder.exists():
                artefacts.fetch(model, version, folder)
            found.append(evaluate_all(model, folder, pieces))
    table = table_of(compare(found[0], found[1]))
    table.title = f"{model} {after} (less {model} {before})"
    Console().print(table)


def _measures(versions: Sequence[Listed]) -> list[str]:
    names = {name for each in versions for name in each.measures if not name.startswith(_ASIDE)}
    return sorted(names, key=lambda name: (name.startswith("cost/"), name))


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4f}"


def _serves(number: str, release: ModelRelease | None, shipped: ModelVersion) -> str:
    if release is None:
        return "as shipped" if number == shipped.number else ""
    return ", ".join(
        f"{role.value} {share:.0%}" for role, version, share in release.roles() if version.number == number
    )
