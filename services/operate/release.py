"""`copyist release`: publishes versions of models, and says which of them serve."""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from rich.console import Console
from rich.table import Table

from services.operate.environment import settings
from services.operate.release_watch import watch
from services.runtime.release import steps
from services.runtime.release.artefacts import Artefacts
from services.runtime.release.board import HISTORY, ReleaseBoard, open_board
from services.runtime.release.manifest import Manifest, ModelRelease, Role
from services.runtime.release.steps import Step

F = TypeVar("F", bound=Callable[..., Any])

_DIGEST_TOLD: Final = 12


class Share(click.ParamType[float]):
    """A share of the requests, such as `5%` or `0.05`."""

    name = "share"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse it, or say how it is written."""
        text = str(value).strip()
        try:
            share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            share = 0.0
        if not 0.0 < share <= 1.0:
            self.fail(f"{text!r} is no share above 0 and up to all, such as 5% or 0.05.", param, ctx)
        return share


def _whoami() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _options_of_change(command: F) -> F:
    """Give a command the options of all commands that change what serves."""
    for option in (
        click.option("--by", default=_whoami, show_default="user@host", help="Who makes the change."),
        click.option("--why", default="", help="Why; kept in the history."),
        _json_option,
    ):
        command = option(command)
    return command


_json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON, for programs.")
_model_argument = click.argument("model")
_version_argument = click.argument("version")


@click.group()
def release() -> None:
    """Publish versions of models, try them on a share of the requests, and go back.

    What serves is said by a manifest, kept where COPYIST_RELEASE_URL points: a file, or configmap://NAME,
    which is found with this machine's kubeconfig. Versions lie where COPYIST_MODELS_URL points. Services
    follow within a second, in a cluster within a few.
    """


release.add_command(watch)


@release.command()
@_json_option
def status(as_json: bool) -> None:
    """Show which versions serve."""
    _show(_board().read(), as_json)


@release.command()
@click.option(
    "--limit", type=click.IntRange(1, HISTORY), default=20, show_default=True, help="How many at most."
)
@_json_option
def history(limit: int, as_json: bool) -> None:
    """Show what was released, by whom and why, the newest first."""
    manifests = _board().history(limit)
    if as_json:
        click.echo(json.dumps([json.loads(each.encode()) for each in manifests], indent=1))
        return
    table = Table("revision", "when", "by", "what", "why", box=None)
    for each in manifests:
        change = each.change
        table.add_row(str(each.revision), _moment(change.at), change.by, change.what, change.why)
    Console().print(table if manifests else "Nothing was released yet: all models serve as shipped.")


@release.command()
@_model_argument
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--note", default="", help="Where the version comes from; kept with it.")
@_json_option
def publish(model: str, folder: Path, note: str, as_json: bool) -> None:
    """Publish FOLDER, with model.onnx and card.json, as the next version of MODEL. It does not serve yet."""
    version = _artefacts().publish(model, folder, note)
    if as_json:
        click.echo(json.dumps({"model": model, "version": version.number, "digest": version.digest}))
    else:
        click.echo(f"{model} {version.number} is published; it does not serve yet (copyist release canary).")


@release.command()
@_model_argument
@_version_argument
@click.option("--share", type=Share(), required=True, metavar="SHARE", help="Of the requests, such as 5%.")
@click.option("--hold", is_flag=True, help="Keep it at this share: it is not promoted by itself.")
@_options_of_change
def canary(model: str, version: str, share: float, hold: bool, by: str, why: str, as_json: bool) -> None:
    """Have VERSION of MODEL answer a share of the requests, or give it another share.

    Unless it is held, the release watch gives it larger shares while it does well, and promotes it in the
    end. One that does badly is rolled back either way.
    """
    artefacts = _artefacts()
    step = partial(
        steps.start_canary,
        model=model,
        version=artefacts.find(model, version),
        share=share,
        shipped=artefacts.shipped(model),
        automatic=not hold,
        by=by,
        why=why,
    )
    _take(step, as_json)


@release.command()
@_model_argument
@_options_of_change
def promote(model: str, by: str, why: str, as_json: bool) -> None:
    """Have the canary of MODEL answer all requests from now on, as its stable version."""
    _take(partial(steps.promote, model=model, by=by, why=why), as_json)


@release.command()
@_model_argument
@_options_of_change
def rollback(model: str, by: str, why: str, as_json: bool) -> None:
    """End the trial of a canary of MODEL; where there is none, go back to the stable version before."""
    board = _board()

    def step(manifest: Manifest) -> Manifest:
        return steps.rollback(manifest, model, history=board.history(), by=by, why=why)

    _take(step, as_json)


@release.command()
@_model_argument
@click.argument("version", required=False)
@click.option("--share", type=Share(), metavar="SHARE", help="Of the requests, such as 5%.")
@click.option("--stop", is_flag=True, help="Send the shadow of MODEL no more requests.")
@_options_of_change
def shadow(
    model: str, version: str | None, share: float | None, stop: bool, by: str, why: str, as_json: bool
) -> None:
    """Send VERSION of MODEL copies of a share of the requests; it answers nobody, and is compared."""
    if stop and version is None and share is None:
        _take(partial(steps.stop_shadow, model=model, by=by, why=why), as_json)
        return
    if stop or version is None or share is None:
        raise click.UsageError("Give a VERSION and its --share, or --stop alone.")
    artefacts = _artefacts()
    step = partial(
        steps.start_shadow,
        model=model,
        version=artefacts.find(model, version),
        share=share,
        shipped=artefacts.shipped(model),
        by=by,
        why=why,
    )
    _take(step, as_json)


def _board() -> ReleaseBoard:
    return open_board(settings().release_url)


def _artefacts() -> Artefacts:
    ours = settings()
    return Artefacts(ours.models_url, ours.model_repository)


def _take(step: Step, as_json: bool) -> None:
    _show(steps.apply(_board(), step), as_json)


def _show(manifest: Manifest, as_json: bool) -> None:
    if as_json:
        click.echo(manifest.encode())
        return
    console, change = Console(), manifest.change
    if manifest.revision:
        why = f": {change.why}" if change.why else ""
        console.print(
            f"Revision {manifest.revision}, {_moment(change.at)}: {change.what}, by {change.by}{why}",
            highlight=False,
            markup=False,
        )
    table = Table("model", "role", "version", box=None)
    table.add_column("share", justify="right")
    for heading in ("digest", "since"):
        table.add_column(heading)
    artefacts = _artefacts()
    for model in sorted({*artefacts.models(), *manifest.models}):
        found = manifest.models.get(model)
        _rows(table, model, found or ModelRelease(artefacts.shipped(model)), released=found is not None)
    console.print(table)


def _rows(table: Table, model: str, found: ModelRelease, *, released: bool) -> None:
    for role, version, share in found.roles():
        since = "" if released else "as shipped"
        if role is Role.CANARY and found.canary:
            since = _moment(found.canary.since) + ("" if found.canary.automatic else ", held")
        digest = version.digest[:_DIGEST_TOLD]
        table.add_row(model, role.value, version.number, f"{100 * share:g} %", digest, since)


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
