"""What the Prometheus Operator makes of an AlertmanagerConfig, by its published rules.

They are those of its default, `alertmanagerConfigMatcherStrategy: OnNamespace`. A route gets a matcher for
the object's namespace, goes on to the routes after it, and stands before those of the cluster's own
configuration; both sides of an inhibition get that matcher, too. Receivers are named NAMESPACE/NAME/RECEIVER.
Secrets are looked up in the object's namespace and written into them. Only what Copyist's chart uses is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tests.charts.rendering import Object

#: The fields of a route that are only named otherwise in Alertmanager's configuration.
_RENAMED: Final = {
    "groupBy": "group_by",
    "groupWait": "group_wait",
    "groupInterval": "group_interval",
    "repeatInterval": "repeat_interval",
}

Secrets = Mapping[tuple[str, str, str], str]


def configuration(own: Object, config: Object, secrets: Secrets) -> Object:
    """What Alertmanager reads.

    Args:
        own: the cluster's own configuration.
        config: an AlertmanagerConfig.
        secrets: values by namespace, secret and key.

    Raises:
        KeyError: a secret is missing, for which the operator would leave the AlertmanagerConfig out.
    """
    spec, made = config["spec"], {**own}
    if "route" in spec:
        made["route"] = {**own["route"], "routes": [_route(config), *own["route"].get("routes", [])]}
        made["receivers"] = [
            *own["receivers"],
            *(_receiver(each, config, secrets) for each in spec["receivers"]),
        ]
    made["inhibit_rules"] = [
        *own.get("inhibit_rules", []),
        *(_inhibition(each, config) for each in spec.get("inhibitRules", [])),
    ]
    return made


def receiver_name(config: Object, name: str) -> str:
    """What a receiver is called there."""
    return f"{config['metadata']['namespace']}/{config['metadata']['name']}/{name}"


def _route(config: Object) -> Object:
    fields = config["spec"]["route"]
    renamed = {_RENAMED[name]: value for name, value in fields.items() if name in _RENAMED}
    assert set(fields) <= {*_RENAMED, "receiver", "matchers", "continue"}
    return {
        **renamed,
        "receiver": receiver_name(config, fields["receiver"]),
        "matchers": _matchers(fields["matchers"], config),
        "continue": True,
    }


def _inhibition(fields: Object, config: Object) -> Object:
    return {
        "source_matchers": _matchers(fields["sourceMatch"], config),
        "target_matchers": _matchers(fields["targetMatch"], config),
        "equal": fields["equal"],
    }


def _matchers(matchers: list[dict[str, str]], config: Object) -> list[str]:
    whole = [*matchers, {"name": "namespace", "matchType": "=", "value": config["metadata"]["namespace"]}]
    return [f'{each["name"]}{each["matchType"]}"{each["value"]}"' for each in whole]


def _receiver(receiver: Object, config: Object, secrets: Secrets) -> Object:
    webhooks = []
    for webhook in receiver["webhookConfigs"]:
        key = webhook["httpConfig"]["authorization"]["credentials"]
        shown = secrets[config["metadata"]["namespace"], key["name"], key["key"]]
        authorization = {"type": "Bearer", "credentials": shown}
        webhooks.append({"url": webhook["url"], "http_config": {"authorization": authorization}})
    return {"name": receiver_name(config, receiver["name"]), "webhook_configs": webhooks}
