"""Which starter the operator has chosen."""

from __future__ import annotations

from typing import Final

from services.errors import CopyistError
from services.runtime.settings import Settings
from services.trigger.process import ProcessStarter
from services.trigger.starters import Starter

_PROCESS: Final = "process"
_CRON_JOB: Final = "cronjob://"


class UnknownStarterError(CopyistError):
    """The setting names no starter."""

    slug = "unknown-starter"
    title = "What starts a retraining is not understood"


def starter(settings: Settings) -> Starter:
    """Make the starter of COPYIST_RETRAIN_BY.

    Raises:
        UnknownStarterError: there is no such starter.
        NoClusterError: there are no credentials for a cluster.
    """
    chosen = settings.retrain_by
    if chosen == _PROCESS:
        return ProcessStarter(settings.runs_folder / "triggered", settings.retrain_budget)
    name = chosen.removeprefix(_CRON_JOB)
    if not name or name == chosen:
        raise UnknownStarterError(
            f"COPYIST_RETRAIN_BY={chosen} is neither {_PROCESS} nor {_CRON_JOB}NAME.",
            remedy="Set it to one of these.",
        )
    # ruff: noqa: PLC0415 - Kubernetes' package is installed only where it is needed
    from services.cluster.connection import connect
    from services.trigger.cron_job import CronJobStarter

    return CronJobStarter(connect(), name, settings.retrain_budget)
