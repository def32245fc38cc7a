"""`copyist trigger`: starts retrainings for alerts, and shows those that were started."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import click

from services.operate.columns import columns
from services.operate.environment import settings
from services.runtime.database import connect
from services.runtime.migrations import prepare
from services.trigger.decisions import RetrainingRequest
from services.trigger.program import run_trigger
from services.trigger.starting import starter
from services.trigger.store import DecisionRecord, RequestStore


@click.group()
def trigger() -> None:
    """Start retrainings for alerts of drift, and show those that were started."""


@trigger.command()
def serve() -> None:
    """Take calls of Alertmanager's webhook, until told to end.

    They come to /v1/alerts of COPYIST_TRIGGER_PORT and must show COPYIST_TRIGGER_TOKEN. For each version of a
    model, from whose reference it has drifted, at most one retraining is started; not sooner than
    COPYIST_RETRAIN_COOLDOWN_H hours after the last one of the model, and not more often than
    COPYIST_RETRAIN_PER_MONTH. Several may run beside each other, with the same COPYIST_DATABASE_URL.
    """
    here = settings()
    try:
        run_trigger(here, starter(here))
    except OSError as error:
        raise click.ClickException(
            f"the trigger cannot begin (COPYIST_TRIGGER_PORT): {error.strerror}."
        ) from None


@trigger.command("list")
@click.option("--decisions", is_flag=True, help="Show what was decided on each alert instead.")
def list_(*, decisions: bool) -> None:
    """List the retrainings that alerts have asked for, the newest first."""
    database = connect(settings().database_url)
    try:
        prepare(database)
        store = RequestStore(database)
        rows = _decisions(store.decisions()) if decisions else _requests(store.requests())
    finally:
        database.close()
    click.echo(columns(rows))


def _requests(requests: Sequence[RetrainingRequest]) -> list[tuple[str, ...]]:
    return [
        ("REQUEST", "MODEL", "VERSION", "STATE", "REQUESTED", "ENDED", "WHY", "SAID LAST"),
        *(
            (
                each.id,
                each.model,
                each.version,
                each.state,
                _moment(each.requested_at),
                _moment(each.ended_at),
                each.reason,
                each.message,
            )
            for each in requests
        ),
    ]


def _decisions(decisions: Sequence[DecisionRecord]) -> list[tuple[str, ...]]:
    return [
        ("LAST", "TIMES", "DECISION", "MODEL", "VERSION", "ALERT", "REASON"),
        *(
            (
                _moment(each.last_at),
                str(each.times),
                each.decision,
                each.model or "-",
                each.version or "-",
                each.alert,
                each.reason,
            )
            for each in decisions
        ),
    ]


def _moment(moment: datetime | None) -> str:
    return "-" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%MZ")
