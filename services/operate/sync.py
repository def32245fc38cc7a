"""`copyist sync`: the process that makes a Triton server match the release manifest."""

from __future__ import annotations

from pathlib import Path

import click

from services.operate.environment import settings


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def sync(folder: Path) -> None:
    """Make a Triton server match the release manifest, until told to end.

    FOLDER is the model repository that Triton is given; it is filled before Triton is started (then it holds
    a file .synchronised), and kept from then on. The shipped models are those of COPYIST_MODEL_REPOSITORY,
    published ones come from COPYIST_MODELS_URL, and the manifest is at COPYIST_RELEASE_URL. Triton, at
    COPYIST_TRITON_URL, must run with explicit model control.
    """
    here = settings()
    from services.sync.program import run_sync  # noqa: PLC0415 - it brings gRPC along

    try:
        run_sync(here, folder)
    except OSError as error:
        raise click.ClickException(f"the sync cannot begin (COPYIST_SYNC_PORT): {error.strerror}.") from None
