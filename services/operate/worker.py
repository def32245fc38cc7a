"""`copyist worker`: a process that does the jobs of one service."""

from __future__ import annotations

import os

import click

from services.operate.environment import settings
from services.runtime.work import ONE_THREAD_EACH


@click.command()
@click.argument("service", type=click.Choice(["amt", "omr"]))
def worker(service: str) -> None:
    """Do the jobs of a service, amt (recordings) or omr (pages), until told to end.

    Any number of workers may run, on any number of machines, with the same COPYIST_DATABASE_URL and
    COPYIST_FILES_URL. SIGTERM ends one: what it was doing goes back to the queue.
    """
    here = settings()
    for variable, value in ONE_THREAD_EACH.items():
        os.environ.setdefault(variable, value)
    # ruff: noqa: PLC0415 - loaded only now, as a BLAS reads these variables when it is loaded
    from services.runtime.jobs.worker import run_worker

    try:
        if service == "amt":
            from services.amt.jobs import AudioJobs

            run_worker(service, AudioJobs, here, here.amt_worker_port)
        else:
            from services.omr.jobs import PageJobs

            run_worker(service, PageJobs, here, here.omr_worker_port)
    except OSError as error:
        port = f"COPYIST_{service.upper()}_WORKER_PORT"
        raise click.ClickException(f"the worker cannot begin ({port}): {error.strerror}.") from None
