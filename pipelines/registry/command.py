"""`copyist models`: versions of the models side by side. Runs in the training environment, for MLflow."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from importlib.util import find_spec

import click

from pipelines.retraining.budgets import MODELS
from pipelines.retraining.environment import ROOT
from pipelines.retraining.runner import training_python


@click.group(invoke_without_command=True)
@click.option("--model", type=click.Choice(MODELS), help="Show this model alone.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def models(context: click.Context, model: str | None, *, as_json: bool) -> None:
    """List the versions of the models: what they measure, which serve, and their aliases in MLflow."""
    if find_spec("mlflow") is None:
        _in_training_environment()
    if context.invoked_subcommand is None:
        from pipelines.registry.versions import listed, show  # noqa: PLC0415 - MLflow takes seconds to load

        names = [model] if model else MODELS
        if as_json:
            click.echo(json.dumps({name: [asdict(each) for each in listed(name)] for name in names}))
            return
        for name in names:
            show(name)


@models.command()
@click.argument("before")
@click.argument("after")
@click.option("--model", type=click.Choice(MODELS), required=True)
@click.option(
    "--pieces",
    type=click.IntRange(min=1),
    default=24,
    show_default=True,
    help="Pieces of each fixed test set to judge on; what was judged before is remembered.",
)
def diff(model: str, before: str, after: str, pieces: int) -> None:
    """Show where version AFTER is better or worse than BEFORE, slice by slice, with confidence intervals."""
    from pipelines.registry.versions import show_difference  # noqa: PLC0415

    show_difference(model, before, after, pieces)


def _in_training_environment() -> None:
    """Become the same command there; returns only where there is no such environment, with an error."""
    python = str(training_python())
    if python == sys.executable:
        raise click.ClickException("MLflow is not installed here: install requirements/training.txt.")
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    arguments = [python, "-m", "services.client.cli", *sys.argv[1:]]
    os.execve(python, arguments, os.environ | {"PYTHONPATH": path})  # noqa: S606 - no shell is wanted
