"""`copyist retrain`: makes a better version of a model, and releases it if it is one."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.table import Table

from pipelines.retraining.budgets import BUDGETS, MODELS
from pipelines.retraining.environment import Environment, commit
from pipelines.retraining.errors import RunUnderWayError, UnknownRunError
from pipelines.retraining.flow import lead
from pipelines.retraining.progress import Progress
from pipelines.retraining.run import RECORD, STATE, Run, RunRecord, Start, new_id
from pipelines.retraining.runner import ProcessRunner, Runner
from services.operate.environment import settings
from services.runtime.release.artefacts import Artefacts
from services.runtime.release.board import open_board
from services.runtime.release.manifest import ModelVersion
from services.runtime.settings import Settings

#: Exit status where the same command may succeed later (EX_TEMPFAIL of sysexits.h).
_NOT_NOW: Final = 75


@click.command()
@click.argument("model", type=click.Choice(MODELS), required=False)
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    multiple=True,
    help="A folder to learn from, besides the corpora: MusicXML scores; for piano, recordings with MIDI"
    " beside them, too. May be given several times.",
)
@click.option("--budget", type=click.Choice(["small", "full"]), default="full", show_default=True)
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Train no longer than this.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True)
@click.option("--reason", default="asked for by hand", show_default=True, help="Why; kept with the run.")
@click.option(
    "--from",
    "start",
    type=click.Choice([each.value for each in Start]),
    default=Start.CHAMPION.value,
    show_default=True,
)
@click.option(
    "--corpora/--no-corpora", default=True, help="Whether to learn from Copyist's own corpora, too."
)
@click.option(
    "--release/--no-release", default=True, help="Whether a version that passes the gates is released."
)
@click.option("--run", "run_id", help="Name of the run; the same name again goes on with that run.")
@click.option("--resume", metavar="RUN", help="Go on with a run that was interrupted or failed.")
@click.option("--list", "listing", is_flag=True, help="List the runs, newest first, and do nothing else.")
def retrain(
    model: str | None,
    data: tuple[Path, ...],
    budget: str,
    minutes: float | None,
    seed: int,
    reason: str,
    start: str,
    corpora: bool,
    release: bool,
    run_id: str | None,
    resume: str | None,
    listing: bool,
) -> None:
    """Retrain MODEL: collect data, train, export, judge it beside the version that serves, and release it.

    A run that is killed goes on where it stopped with --resume. Its last line says how it ended:
    `promoted`, `rolled back`, `refused` (by a gate) or `kept` (passed, but not released).
    """
    ours = settings()
    if listing:
        _list(ours.runs_folder)
        return
    if resume is None and model is None:
        raise click.UsageError("Name a model, or a run with --resume.")
    name = resume or run_id or new_id(model or "", datetime.now(UTC))
    folder = (ours.runs_folder / name).resolve()
    if (folder / RECORD).exists():
        run = Run(folder)
    elif resume is not None or model is None:
        raise UnknownRunError(f"There is no run {name} in {ours.runs_folder}.", remedy="See --list.")
    else:
        chosen = replace(BUDGETS[model][budget], minutes=minutes or 0.0, corpora=corpora)
        run = Run.create(
            folder,
            RunRecord(
                id=name,
                model=model,
                reason=reason,
                seed=seed,
                budget=chosen,
                start=Start(start),
                champion=_champion(ours, model),
                data=tuple(str(each.resolve()) for each in data),
                release=release,
                commit=commit(),
                environment=Environment.here(),
                began=datetime.now(UTC),
            ),
        )
    runner = _runner(ours)
    try:
        with Progress(run) as progress:
            outcome = lead(run, runner, progress.watch, flow_database(ours))
    except KeyboardInterrupt:
        runner.cancel(run)
        raise
    except RunUnderWayError as error:
        click.echo(f"copyist: {error}", err=True)
        click.get_current_context().exit(_NOT_NOW)
    click.echo(outcome["text"])


def _runner(ours: Settings) -> Runner:
    if not ours.retrain_jobs:
        return ProcessRunner()
    # ruff: noqa: PLC0415 - Kubernetes' package is installed only where it is needed
    from pipelines.retraining.cluster import cluster_runner

    return cluster_runner(Path(ours.retrain_jobs))


def flow_database(ours: Settings) -> str:
    """Where DBOS keeps how far the runs have come."""
    return f"sqlite:///{ours.runs_folder.resolve()}/flow.sqlite"


def _champion(ours: Settings, model: str) -> ModelVersion:
    """The version that serves."""
    release = open_board(ours.release_url).read().models.get(model)
    if release is not None:
        return release.stable
    return Artefacts(ours.models_url, ours.model_repository).shipped(model)


def _list(folder: Path) -> None:
    table = Table("run", "model", "step", "state", "reason", box=None)
    states = [json.loads(path.read_text("utf-8")) for path in folder.glob(f"*/{STATE}")]
    for state in sorted(states, key=lambda each: each["began"], reverse=True):
        table.add_row(*(state[column] for column in ("run", "model", "step", "state", "reason")))
    Console().print(table)
