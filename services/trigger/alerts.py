"""What Alertmanager tells: its webhook's JSON, version 4, read as alerts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.errors import InputError

#: Of the JSON; Alertmanager itself raises it when it changes what fields mean.
_VERSION: Final = "4"
_MOST_ALERTS: Final = 1000
_LONGEST: Final = 200
#: The label, and its value, by which an alert asks for a retraining.
ACTION: Final = "action"
RETRAIN: Final = "retrain"
#: Labels that say of what in a model an alert speaks, in the order in which they are told.
_SUBJECTS: Final = ("feature", "check")


class WebhookError(InputError):
    """The call is not one of Alertmanager's webhook."""

    slug = "not-a-webhook"
    title = "The call is not understood"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert, firing or resolved.

    Attributes:
        fingerprint: names its set of labels, the same for each repeat.
        firing: whether it fires; else it is resolved.
        labels: all of them, `alertname` too.
    """

    fingerprint: str
    firing: bool
    labels: Mapping[str, str]

    @property
    def name(self) -> str:
        """The alerting rule's name."""
        return self.labels.get("alertname", "")

    @property
    def model(self) -> str:
        """Of which model it speaks; empty for none."""
        return self.labels.get("model", "")

    @property
    def version(self) -> str:
        """Against the reference of which version; empty for none."""
        return self.labels.get("version", "")

    @property
    def asks_for_retraining(self) -> bool:
        """Whether its rule names retraining as what to do."""
        return self.labels.get(ACTION) == RETRAIN

    def told(self) -> str:
        """What it says, in one line."""
        subject = ", ".join(self.labels[name] for name in _SUBJECTS if name in self.labels)
        window = f" over {self.labels['window']}" if "window" in self.labels else ""
        return f"{self.name}{f': {subject}' if subject else ''}{window}"


def read_alerts(call: object) -> list[Alert]:
    """Read the alerts of one call.

    Args:
        call: its JSON, parsed.

    Raises:
        WebhookError: it has another form, or is too long.
    """
    if not isinstance(call, Mapping) or call.get("version") != _VERSION:
        raise WebhookError(
            f"The call is not of version {_VERSION} of Alertmanager's webhook.",
            remedy="Let Alertmanager's `webhook_configs` call this address.",
        )
    alerts = call.get("alerts")
    if not isinstance(alerts, list) or len(alerts) > _MOST_ALERTS:
        raise WebhookError(f"The call has no list of at most {_MOST_ALERTS} alerts.")
    return [_read(alert) for alert in alerts]


def _read(alert: Any) -> Alert:
    if not isinstance(alert, Mapping) or alert.get("status") not in ("firing", "resolved"):
        raise WebhookError("An alert is neither firing nor resolved.")
    fingerprint, labels = alert.get("fingerprint"), alert.get("labels")
    if not _short(fingerprint) or not isinstance(labels, Mapping):
        raise WebhookError("An alert has no fingerprint or no labels.")
    if not all(_short(name) and _short(value) for name, value in labels.items()):
        raise WebhookError(f"A label of an alert is not text of 1 to {_LONGEST} characters.")
    return Alert(str(fingerprint), alert["status"] == "firing", dict(labels))


def _short(text: object) -> bool:
    return isinstance(text, str) and 0 < len(text) <= _LONGEST
