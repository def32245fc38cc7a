"""What Prometheus is told of credentials before they end. No label names a key or an owner."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import sqlalchemy as sa
from prometheus_client import Gauge

from services.errors import DatabaseUnavailableError
from services.runtime.database import Database
from services.runtime.door.keys import API_KEYS
from services.runtime.door.principal import Scope

log = logging.getLogger("copyist.door")

#: What was used within this time is in use: what nobody uses may expire in peace.
_IN_USE: Final = timedelta(days=30)
#: A key that has expired is told of for so long.
_LATELY: Final = timedelta(days=1)
_EVERY_S: Final = 60.0

_SOONEST: Final = Gauge(
    "copyist_api_keys_soonest_expiry_timestamp_seconds",
    "When the first of the API keys in use expires, by what it may be used for; 0 where none does.",
    ["scope"],
    multiprocess_mode="mostrecent",
)


def tell(soonest: Mapping[Scope, datetime]) -> None:
    """Tell when the first key of each scope expires."""
    for scope in Scope:
        moment = soonest.get(scope)
        _SOONEST.labels(scope.value).set(moment.timestamp() if moment is not None else 0)


async def tell_now_and_then(database: Database) -> None:
    """Tell what the database holds, every minute until cancelled."""
    while True:
        try:
            tell(await asyncio.to_thread(soonest_expiry, database))
        except DatabaseUnavailableError:
            pass  # the next minute will do
        except Exception:
            log.exception("when keys expire cannot be told")
        await asyncio.sleep(_EVERY_S)


def soonest_expiry(database: Database) -> dict[Scope, datetime]:
    """Find when the first of the keys in use expires, by scope; one that did within a day is told of, too.

    Raises:
        DatabaseUnavailableError: the database does not answer.
    """
    now = datetime.now(UTC)
    in_use = (
        sa.select(API_KEYS.c.scopes, API_KEYS.c.expires_at)
        .where(API_KEYS.c.revoked_at.is_(None), API_KEYS.c.expires_at > now - _LATELY)
        .where(API_KEYS.c.last_used_at > now - _IN_USE)
        .order_by(API_KEYS.c.expires_at)
    )
    soonest: dict[Scope, datetime] = {}
    with database.read() as connection:
        for row in connection.execute(in_use):
            for scope in Scope:
                if scope.value in row.scopes.split():
                    soonest.setdefault(scope, row.expires_at)
    return soonest
