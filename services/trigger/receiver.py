"""The address that Alertmanager calls."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
from collections.abc import Callable
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.errors import CopyistError, TooLargeError, UnauthenticatedError, UploadTooSlowError
from services.runtime import problems
from services.runtime.door.credentials import credential_of
from services.runtime.request_ids import request_id_from
from services.trigger import metrics
from services.trigger.alerts import Alert, WebhookError, read_alerts
from services.trigger.decisions import Decision, Policy, Verdict
from services.trigger.store import RequestStore

log = logging.getLogger("copyist.trigger")

PATH: Final = "/v1/alerts"
_MOST_BYTES: Final = 4 << 20
_BODY_LIMIT_S: Final = 15.0


class Receiver:
    """Takes alerts from whoever shows the token.

    Args:
        token: what the caller must show.
        store: where requests are made.
        policy: how often is often enough.
        started: called when there is something to start.
    """

    def __init__(self, token: str, store: RequestStore, policy: Policy, started: Callable[[], None]) -> None:
        self._token = token.encode()
        self._store = store
        self._policy = policy
        self._started = started

    def routes(self) -> list[Route]:
        """What is served."""
        return [Route(PATH, self.receive, methods=["POST"])]

    async def receive(self, request: Request) -> Response:
        """Decide on the alerts of one call, and answer what was decided.

        Alertmanager calls again what was answered with 5xx, and nothing else.
        """
        try:
            self._check(request)
            alerts = read_alerts(await _json(request))
            verdicts = await asyncio.to_thread(self._store.decide, alerts, self._policy)
        except ClientDisconnect:
            return Response(status_code=400)
        except CopyistError as error:
            metrics.count_refused(error.status)
            log.warning("a call was refused: %s", error)
            return problems.response(error, request_id_from(""))
        self._tell(alerts, verdicts)
        return JSONResponse({"decisions": [_told(*each) for each in zip(alerts, verdicts, strict=True)]})

    def _check(self, request: Request) -> None:
        shown = credential_of(request.headers.items())
        if shown is None or not hmac.compare_digest(shown.text.encode(), self._token):
            raise UnauthenticatedError(
                "The call does not show the trigger's token.",
                remedy="Give Alertmanager the token of COPYIST_TRIGGER_TOKEN: `credentials_file`.",
            )

    def _tell(self, alerts: list[Alert], verdicts: list[Verdict]) -> None:
        metrics.count(alerts, verdicts, self._policy.models)
        for alert, verdict in zip(alerts, verdicts, strict=True):
            log.info("%s: %s: %s", alert.told(), verdict.decision, verdict.reason)
        if any(verdict.decision is Decision.STARTED for verdict in verdicts):
            self._started()


async def _json(request: Request) -> object:
    body = b""
    try:
        async with asyncio.timeout(_BODY_LIMIT_S):
            async for part in request.stream():
                body += part
                if len(body) > _MOST_BYTES:
                    raise TooLargeError(f"The call is longer than {_MOST_BYTES} bytes.")
    except TimeoutError:
        raise UploadTooSlowError(f"The call took more than {_BODY_LIMIT_S:.0f} s to come.") from None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise WebhookError("The call is no JSON.") from None


def _told(alert: Alert, verdict: Verdict) -> dict[str, str | None]:
    return {
        "fingerprint": alert.fingerprint,
        "decision": verdict.decision,
        "reason": verdict.reason,
        "request": verdict.request_id,
    }
