"""Waiting until a stack goes by its newest release."""

from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families

from services.local.stack import LocalStack
from services.runtime.release.board import open_board
from tests.waiting import wait_for

_REVISION = "copyist_release_revision"


def wait_until_in_force(stack: LocalStack, limit_s: float = 30) -> None:
    """Wait until both services go by the manifest that is kept now."""
    revision = open_board(stack.options.release_url).read().revision
    wait_for(lambda: {_revision(stack.http_url), _revision(stack.omr_http_url)} == {revision}, limit_s)


def _revision(url: str) -> int:
    families = text_string_to_metric_families(httpx.get(f"{url}/metrics").text)
    return next((int(family.samples[0].value) for family in families if family.name == _REVISION), 0)
