"""The versions of a model, shown side by side."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

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


def show(model: str) -> None:
    """Print the versions of a model; those not registered yet are registered."""
    settings = Settings.from_environment()
    artefacts = Artefacts(settings.models_url, settings.model_repository)
    release = open_board(settings.release_url).read().models.get(model)
    registry = open_registry()
    registry.register(model, artefacts)
    registry.follow(model, release, artefacts.shipped(model))
    aliases = registry.aliases(model)
    versions = registry.versions(model)
    metrics = {str(each.version): registry.metrics_of(model, str(each.version)) for each in versions}
    table = Table(model, *metrics, box=None)
    for column in table.columns[1:]:
        column.justify, column.min_width = "right", 8
    shipped = artefacts.shipped(model)
    table.add_row("serves", *(_serves(number, release, shipped) for number in metrics))
    table.add_row("alias", *(_named(number, aliases) for number in metrics))
    for measure in _measures(metrics):
        table.add_row(measure, *(_figure(found.get(measure)) for found in metrics.values()))
    Console().print(table)
    for each in versions:
        Console().print(f"  {each.version}: {each.description or 'no note'}", style="dim", highlight=False)


def show_difference(model: str, before: str, after: str, pieces: int) -> None:
    """Print where one version differs from another, evaluating both where that was not done yet."""
    settings = Settings.from_environment()
    artefacts = Artefacts(settings.models_url, settings.model_repository)
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        for number in (before, after):
            folder = Path(scratch, number)
            if not folder.exists():
                artefacts.fetch(model, artefacts.find(model, number), folder)
            found.append(evaluate_all(model, folder, pieces))
    table = table_of(compare(found[0], found[1]))
    table.title = f"{model} {after} (less {model} {before})"
    Console().print(table)


def _measures(metrics: Mapping[str, Mapping[str, Any]]) -> list[str]:
    names = {name for each in metrics.values() for name in each if not name.startswith(_ASIDE)}
    return sorted(names, key=lambda name: (name.startswith("cost/"), name))


def _named(number: str, aliases: Mapping[str, str]) -> str:
    return ", ".join(sorted(alias for alias, of in aliases.items() if of == number))


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4f}"


def _serves(number: str, release: ModelRelease | None, shipped: ModelVersion) -> str:
    if release is None:
        return "as shipped" if number == shipped.number else ""
    return ", ".join(
        f"{role.value} {share:.0%}" for role, version, share in release.roles() if version.number == number
    )
