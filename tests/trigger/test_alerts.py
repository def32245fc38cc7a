"""What is read of Alertmanager's calls, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from services.trigger.alerts import WebhookError, read_alerts
from tests.trigger.drifted import labels, webhook


def test_alerts_are_read_with_their_labels() -> None:
    first, second = read_alerts(webhook(labels(), labels(feature="treble_db")))
    assert (first.name, first.model, first.version) == ("CopyistInputDrift", "piano", "1")
    assert first.firing
    assert first.asks_for_retraining
    assert first.fingerprint != second.fingerprint
    assert second.told() == "CopyistInputDrift: treble_db over 1d"
    (resolved,) = read_alerts(webhook(labels(), status="resolved"))
    assert not resolved.firing


@pytest.mark.parametrize(
    "call",
    [
        [],
        None,
        "alerts",
        {},
        {"version": "3", "alerts": []},
        {"version": "4"},
        {"version": "4", "alerts": {}},
        {"version": "4", "alerts": ["alert"]},
        {"version": "4", "alerts": [{"status": "gone", "labels": {}, "fingerprint": "a"}]},
        {"version": "4", "alerts": [{"status": "firing", "labels": {}, "fingerprint": ""}]},
        {"version": "4", "alerts": [{"status": "firing", "labels": {}, "fingerprint": 5}]},
        {"version": "4", "alerts": [{"status": "firing", "labels": [], "fingerprint": "a"}]},
        {"version": "4", "alerts": [{"status": "firing", "labels": {"model": 1}, "fingerprint": "a"}]},
        {
            "version": "4",
            "alerts": [{"status": "firing", "labels": {"model": "m" * 201}, "fingerprint": "a"}],
        },
        {"version": "4", "alerts": [{"status": "firing", "labels": {}, "fingerprint": "a"}] * 1001},
    ],
)
def test_other_forms_are_refused(call: Any) -> None:
    with pytest.raises(WebhookError):
        read_alerts(call)
