"""The trigger as a program: its parts, and their life."""

from __future__ import annotations

import asyncio
import re
from typing import Final

from prometheus_client import REGISTRY

from services.errors import CopyistError, DatabaseUnavailableError
from services.runtime import logs
from services.runtime.database import Database, connect
from services.runtime.endpoints import Endpoints
from services.runtime.jobs.patience import patiently
from services.runtime.migrations import prepare
from services.runtime.settings import Settings
from services.runtime.stopping import told_to_stop
from services.trigger import metrics
from services.trigger.decisions import Policy
from services.trigger.keeper import Keeper
from services.trigger.receiver import Receiver
from services.trigger.runs import RunsCollector
from services.trigger.starters import Starter
from services.trigger.store import RequestStore

_TOKEN: Final = re.compile(r"[!-~]{1,1000}")


class TokenError(CopyistError):
    """The trigger has no token to ask for, or one that no header can hold."""

    slug = "trigger-token"
    title = "The retraining trigger needs a token"


def run_trigger(settings: Settings, starter: Starter) -> None:
    """Take alerts and keep retrainings going until the process is told to end (SIGTERM or SIGINT).

    Args:
        settings: as the operator has them.
        starter: what starts retrainings.

    Raises:
        TokenError: there is no token, and nobody may be let in without; or it cannot be shown.
        SchemaError: the database must be migrated first.
        OSError: the port is taken.
    """
    if not _TOKEN.fullmatch(settings.trigger_token):
        raise TokenError(
            "COPYIST_TRIGGER_TOKEN is not set, or holds what a header cannot.",
            remedy="Set it to letters, digits and signs, and give Alertmanager the same: `credentials_file`.",
        )
    logs.configure(settings, "trigger")
    asyncio.run(_run(settings, starter))


async def _run(settings: Settings, starter: Starter) -> None:
    told_to_end = told_to_stop()
    database = connect(settings.database_url)
    policy = Policy.of(settings)
    metrics.declare(policy.models)
    REGISTRY.register(RunsCollector(settings.runs_folder))
    store = RequestStore(database)
    keeper = Keeper(store, starter, policy.models)
    prepared = asyncio.ensure_future(_prepared(database))

    async def check_ready() -> None:
        if not prepared.done():
            raise DatabaseUnavailableError("The trigger has not reached the database yet.")
        keeper.check()

    receiver = Receiver(settings.trigger_token, store, policy, keeper.wake)
    endpoints = Endpoints(
        settings.host, settings.trigger_port, keeper.check_alive, check_ready, receiver.routes()
    )
    await endpoints.start()
    ending = asyncio.ensure_future(told_to_end.wait())
    try:
        await asyncio.wait((prepared, ending), return_when=asyncio.FIRST_COMPLETED)
        if prepared.done():
            await prepared
            keeper.start()
            await ending
            await asyncio.to_thread(keeper.stop)
    finally:
        prepared.cancel()
        ending.cancel()
        await endpoints.stop()
        database.close()


async def _prepared(database: Database) -> None:
    await patiently(lambda: asyncio.to_thread(prepare, database))
