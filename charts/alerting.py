"""What the chart brings of monitoring/alertmanager.yaml, in the form of an AlertmanagerConfig.

That is the route to the retraining trigger, and what silences what. The receivers for people stay behind:
whom a cluster's Alertmanager tells of pages and tickets is said once, for all that runs there, by those who
run it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

#: The fields of a route by their names in Alertmanager's configuration; there are no routes below a route.
_OF_ROUTE: Final = {
    "receiver": "receiver",
    "group_by": "groupBy",
    "group_wait": "groupWait",
    "group_interval": "groupInterval",
    "repeat_interval": "repeatInterval",
    "matchers": "matchers",
    "continue": "continue",
}
_OF_INHIBITION: Final = {
    "source_matchers": "sourceMatch",
    "target_matchers": "targetMatch",
    "equal": "equal",
}
_MATCHER: Final = re.compile(
    r'(?P<name>\w+) *(?P<type>=~|!~|!=|=) *(?P<quote>"?)(?P<value>[^"\\]*)(?P=quote)'
)


def alertmanager_config(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """The `spec` of the AlertmanagerConfig, less its receivers.

    Args:
        configuration: Alertmanager's configuration, with one route to a receiver that is a webhook.

    Raises:
        KeyError: a route or an inhibition has a field that is not known here.
        ValueError: there is no such route, or more than one; or a matcher cannot be read.
    """
    root = dict(configuration["route"])
    webhooks = {each["name"] for each in configuration["receivers"] if "webhook_configs" in each}
    (calling,) = (route for route in root.pop("routes") if route["receiver"] in webhooks)
    return {
        # What a route does not say it has from the root; in a cluster the root is somebody else's.
        "route": _renamed({**root, **calling}, _OF_ROUTE),
        "inhibitRules": [_renamed(each, _OF_INHIBITION) for each in configuration["inhibit_rules"]],
    }


def _renamed(fields: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {
        names[field]: [_matcher(each) for each in value] if field.endswith("matchers") else value
        for field, value in fields.items()
    }


def _matcher(text: str) -> dict[str, str]:
    found = _MATCHER.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"this is no matcher: {text}")
    return {"name": found["name"], "matchType": found["type"], "value": found["value"]}
