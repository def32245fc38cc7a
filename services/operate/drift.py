"""`copyist drift report`: how far traffic has moved from what the models were released for."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from services.operate.drift_figures import DriftFigures, Window, read_figures
from services.operate.drift_page import drift_page
from services.operate.prometheus import Prometheus


@click.group()
def drift() -> None:
    """Tell how far traffic has moved from what the models were released for."""


@drift.command()
@click.option(
    "--prometheus",
    envvar="COPYIST_PROMETHEUS_URL",
    default="http://127.0.0.1:9090",
    show_default=True,
    help="Address of the Prometheus that watches the services.",
)
@click.option("--window", type=click.Choice(list(Window)), default=Window.HOUR, show_default=True)
@click.option(
    "--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a page with pictures here, too."
)
def report(prometheus: str, window: str, html: Path | None) -> None:
    """Show each feature's population stability index, and each check's share, as Prometheus has them."""
    figures = read_figures(Prometheus(prometheus), Window(window))
    if not figures.features:
        raise click.ClickException(
            "Prometheus has no reference profile yet: give it a minute, or see its targets."
        )
    console = Console()
    console.print(_features(figures))
    console.print(_checks(figures))
    if html is not None:
        html.write_text(drift_page(figures), "utf-8")
        console.print(f"[dim]{html}")


def _features(figures: DriftFigures) -> Table:
    table = Table("model", "version", "feature", "cause", box=None)
    for heading in ("PSI", "drift above", "observations"):
        table.add_column(heading, justify="right")
    table.add_column()
    for each in figures.features:
        table.add_row(
            each.model,
            each.version,
            each.feature,
            each.cause,
            f"{each.psi:.3f}" if each.live else "-",
            f"{each.mark:.3f}" if each.live else "-",
            f"{each.observations:.0f}",
            "[red]drift" if each.drifted else "",
        )
    return table


def _checks(figures: DriftFigures) -> Table:
    table = Table("model", "version", "check", box=None)
    for heading in ("passed", "reference", "cases"):
        table.add_column(heading, justify="right")
    for each in figures.checks:
        told = f"{each.passed:.1%}" if each.cases else "-"
        table.add_row(
            each.model, each.version, each.check, told, f"{each.reference:.1%}", f"{each.cases:.0f}"
        )
    return table
