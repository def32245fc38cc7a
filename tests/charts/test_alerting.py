"""Alerts of the chart's rules reach the trigger by the chart's AlertmanagerConfig, and people as ever."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from charts.alerting import alertmanager_config
from services.runtime.database import connect
from services.runtime.migrations import migrate
from tests.charts.kinds import problems
from tests.charts.network import End, Network
from tests.charts.operator_routing import configuration, receiver_name
from tests.charts.rendering import CASES, NAMESPACE, Object, case, find, merged, of_kind, render
from tests.databases import PostgresServer
from tests.monitoring.alerting import Alertmanager, amtool
from tests.monitoring.alerting import configuration as local_configuration
from tests.monitoring.promtool import MONITORING, alerting_rules, check_rules, file_with
from tests.monitoring.scenarios import SCENARIOS
from tests.trigger.drifted import TOKEN, Trigger, labels
from tests.waiting import wait_for

#: What kube-prometheus-stack gives Alertmanager where its values say nothing else.
STACK: Final[Object] = {
    "inhibit_rules": [
        {
            "source_matchers": ["severity = critical"],
            "target_matchers": ["severity =~ warning|info"],
            "equal": ["namespace", "alertname"],
        },
        {
            "source_matchers": ["severity = warning"],
            "target_matchers": ["severity = info"],
            "equal": ["namespace", "alertname"],
        },
    ],
    "route": {
        "group_by": ["namespace"],
        "group_wait": "30s",
        "group_interval": "5m",
        "repeat_interval": "12h",
        "receiver": "null",
        "routes": [{"receiver": "null", "matchers": ["alertname = Watchdog"]}],
    },
    "receivers": [{"name": "null"}],
}
SECRETS: Final = {(NAMESPACE, "trigger", "token"): TOKEN}
#: Those for retraining, and one that is nobody's business but people's.
TOLD: Final = [
    each
    for each in SCENARIOS
    if each.alert == "CopyistErrorBudgetBurning"
    or (each.alert.endswith(("Drift", "ValidityLow")) and each.labels["window"] == "1d")
]


def of_the_page() -> Object:
    """What the page for operators lays over that, for the tests' namespace."""
    page = (MONITORING.parent / "docs" / "operations.md").read_text()
    (block,) = re.findall(r"```yaml\n(alertmanager:\n.*?)```", page, re.DOTALL)
    values: Object = yaml.safe_load(block.replace("namespace = copyist", f"namespace = {NAMESPACE}"))
    return merged(STACK, values["alertmanager"]["config"])


def alertmanager_object(objects: tuple[Object, ...] | list[Object]) -> Object:
    """The chart's AlertmanagerConfig."""
    return find(objects, "AlertmanagerConfig", "copyist-alerts")


@pytest.fixture(scope="module")
def config_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Alertmanager's configuration as the operator and the page make it."""
    made = configuration(of_the_page(), alertmanager_object(case("operators")), SECRETS)
    file = tmp_path_factory.mktemp("alertmanager") / "alertmanager.yaml"
    file.write_text(yaml.safe_dump(made))
    return file


@pytest.fixture(scope="module")
def rule_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The rules that Prometheus is given."""
    folder = tmp_path_factory.mktemp("rules")
    for each in of_kind(case("operators"), "PrometheusRule"):
        (folder / f"{each['metadata']['name']}.yaml").write_text(yaml.safe_dump(each["spec"]))
    return sorted(folder.glob("*.yaml"))


@pytest.fixture
def trigger(tmp_path: Path, postgres_server: PostgresServer) -> Iterator[Trigger]:
    """A real one, whose runs are stand-ins."""
    url = postgres_server.new_database()
    database = connect(url)
    migrate(database)
    database.close()
    trigger = Trigger(tmp_path / "runs", url)
    trigger.start()
    yield trigger
    trigger.end_runs()
    trigger.stop()


def receivers(file: Path, alert: dict[str, str]) -> list[str]:
    """Whom Alertmanager's own tool finds to be told of an alert."""
    told = [f"{name}={value}" for name, value in alert.items()]
    return amtool("config", "routes", "test", f"--config.file={file}", *told).strip().split(",")


def test_alertmanagers_own_tool_has_nothing_against_what_the_operator_makes(config_file: Path) -> None:
    amtool("check-config", str(config_file))


@pytest.mark.parametrize("number", range(len(TOLD)), ids=lambda n: f"{TOLD[n].alert}-{n}")
def test_as_prometheus_labels_them_alerts_for_retraining_and_no_others_reach_the_trigger(
    number: int, config_file: Path, rule_files: list[Path], tmp_path: Path
) -> None:
    scenario = TOLD[number]
    file, rule = file_with(scenario.alert, scenario.labels.get("window"), tmp_path, rule_files)
    carried = {**scenario.labels, **rule["labels"]}
    assert carried["namespace"] == NAMESPACE
    # promtool says whether these are the labels.
    check_rules(
        tmp_path,
        [scenario.told(scenario.fires, [{"exp_labels": carried}])],
        rules=[file],
        every_minutes=1 if scenario.minutes < 200 else 10,
    )
    trigger = receiver_name(alertmanager_object(case("operators")), "retraining")
    people = {"page": "on-call", "ticket": "tickets"}[carried["severity"]]
    expected = [trigger, people] if carried.get("action") == "retrain" else [people]
    assert receivers(config_file, {"alertname": scenario.alert, **carried}) == expected


def test_both_kinds_of_alerts_were_among_them() -> None:
    asking = {rule["alert"] for rule in alerting_rules() if rule["labels"].get("action") == "retrain"}
    assert {each.alert for each in TOLD} > asking
    assert asking


def test_alerts_of_others_never_reach_the_trigger(config_file: Path) -> None:
    for namespace in ("elsewhere", ""):
        assert receivers(config_file, labels(namespace=namespace)) == ["null"]
    assert receivers(config_file, {"alertname": "Watchdog", "severity": "none"}) == ["null"]


def test_the_route_and_the_inhibitions_are_those_of_the_local_configuration() -> None:
    made = configuration(STACK, alertmanager_object(case("operators")), SECRETS)
    local = local_configuration()
    route, expected = made["route"]["routes"][0], local["route"]["routes"][0]
    assert expected["receiver"] == "retraining"
    for name in ("group_by", "group_wait", "group_interval", "repeat_interval", "continue"):
        assert route[name] == expected.get(name, local["route"].get(name)), name

    def plain(matchers: list[str]) -> set[str]:
        return {re.sub(r'[" ]', "", each) for each in matchers} - {f"namespace={NAMESPACE}"}

    assert plain(route["matchers"]) == plain(expected["matchers"])
    ours = made["inhibit_rules"][len(STACK["inhibit_rules"]) :]
    assert len(ours) == len(local["inhibit_rules"])
    for one, other in zip(ours, local["inhibit_rules"], strict=True):
        assert plain(one["source_matchers"]) == plain(other["source_matchers"])
        assert plain(one["target_matchers"]) == plain(other["target_matchers"])
        assert one["equal"] == other["equal"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"route": {"receiver": "a", "routes": [{"receiver": "a"}]}}, ValueError),
        ({"inhibit_rules": [{"source_match": {"a": "b"}}]}, KeyError),
        ({"inhibit_rules": [{"source_matchers": ["a is b"]}]}, ValueError),
    ],
    ids=["no route to a webhook", "unknown field", "no matcher"],
)
def test_what_cannot_be_said_by_an_alertmanagerconfig_is_not_left_out(
    change: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        alertmanager_config({**local_configuration(), **change})


def test_the_trigger_is_called_where_it_is_with_its_own_token() -> None:
    objects = case("operators")
    ((webhook,),) = (each["webhookConfigs"] for each in alertmanager_object(objects)["spec"]["receivers"])
    (port,) = find(objects, "Service", "copyist-trigger")["spec"]["ports"]
    assert webhook["url"] == (
        f"http://copyist-trigger.{NAMESPACE}.svc.cluster.local:{port['port']}/v1/alerts"
    )
    (container,) = find(objects, "Deployment", "copyist-trigger")["spec"]["template"]["spec"]["containers"]
    (token,) = (each for each in container["env"] if each["name"] == "COPYIST_TRIGGER_TOKEN")
    asked = webhook["httpConfig"]["authorization"]["credentials"]
    assert token["valueFrom"]["secretKeyRef"] == asked == {"name": "trigger", "key": "token"}


def test_alertmanager_gets_through_to_the_trigger_and_others_of_its_namespace_do_not() -> None:
    only = [
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "alerting"}},
            "podSelector": {"matchLabels": {"app.kubernetes.io/name": "alertmanager"}},
        }
    ]
    objects = render(merged(CASES["operators"], {"networkPolicy": {"alertmanager": only}}))
    template = find(objects, "Deployment", "copyist-trigger")["spec"]["template"]
    trigger = End("trigger", template["metadata"]["labels"], NAMESPACE)
    network = Network(objects, NAMESPACE)
    calling = End("alertmanager", {"app.kubernetes.io/name": "alertmanager"}, "alerting")
    assert network.allows(calling, trigger, 3007)
    assert not network.allows(End("other", {"app": "other"}, "alerting"), trigger, 3007)


def test_without_a_trigger_inhibitions_are_left_and_without_monitoring_nothing() -> None:
    alone = merged(CASES["defaults"], {"monitoring": {"enabled": True}})
    config = alertmanager_object(render(alone))
    assert problems(config) == []
    assert set(config["spec"]) == {"inhibitRules"}
    off = merged(CASES["operators"], {"monitoring": {"alertmanagerConfig": False}})
    for values in (off, CASES["retraining"]):
        assert of_kind(render(values), "AlertmanagerConfig") == []


def test_the_real_alertmanager_calls_the_trigger_once_and_inhibits(tmp_path: Path, trigger: Trigger) -> None:
    made = configuration(STACK, alertmanager_object(case("operators")), SECRETS)
    text = yaml.safe_dump(made)
    url = f"http://copyist-trigger.{NAMESPACE}.svc.cluster.local:3007"
    assert url in text
    alertmanager = Alertmanager(
        tmp_path / "alertmanager", trigger.http, TOKEN, text.replace(url, trigger.http)
    )
    here = {"namespace": NAMESPACE}
    failing = {"alertname": "CopyistModelCallsFailing", "severity": "page", "model": "piano"}
    away = {"alertname": "CopyistModelNotReady", "severity": "page", "model": "piano", **here}
    alertmanager.start()
    try:
        alertmanager.fire(labels(**here), labels(model="symbols"), {**failing, **here}, failing, away)
        wait_for(lambda: len(trigger.begun) == 1)
        assert "retrain piano" in trigger.begun[0]

        def silenced() -> list[dict[str, str]]:
            return [each["labels"] for each in alertmanager.alerts() if each["status"]["inhibitedBy"]]

        wait_for(lambda: silenced() == [{**failing, **here}])
    finally:
        alertmanager.stop()
    assert [each.model for each in trigger.requests()] == ["piano"]
