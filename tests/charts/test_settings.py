"""Every setting of the programs can be reached through values, and says there what it says in the code."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from typing import Any

import pytest

from charts import document
from services.runtime.settings import PREFIX, Settings
from tests.charts.rendering import CASES, CHART, case, environment, find, merged, render

#: Settings that the chart derives, or takes from elsewhere in its values: where, and what a value becomes.
ELSEWHERE: dict[str, tuple[dict[str, Any], str]] = {
    "triton_url": ({"triton": {"enabled": False, "externalUrl": "t:1"}}, "t:1"),
    "amt_http_port": ({"amt": {"ports": {"http": 4000}}}, "4000"),
    "amt_grpc_port": ({"amt": {"ports": {"grpc": 4001}}}, "4001"),
    "amt_workers": ({"amt": {"processes": 3}}, "3"),
    "omr_http_port": ({"omr": {"ports": {"http": 4002}}}, "4002"),
    "omr_grpc_port": ({"omr": {"ports": {"grpc": 4003}}}, "4003"),
    "omr_workers": ({"omr": {"processes": 3}}, "3"),
    "amt_worker_port": ({"amtWorker": {"port": 4004}}, "4004"),
    "omr_worker_port": ({"omrWorker": {"port": 4005}}, "4005"),
    "warm_up": ({"triton": {"gpu": {"enabled": False}}}, "off"),
    "sync_port": ({"modelSync": {"port": 4006}}, "4006"),
    "trigger_port": ({"trigger": {"port": 4007}}, "4007"),
    "release_watch_port": ({"releaseWatch": {"port": 4008}}, "4008"),
    "retrain_by": ({}, "cronjob://copyist-retrain"),
    "retrain_jobs": (
        {"modelSync": {"enabled": True, "url": "s3://models/m"}, "retraining": {"enabled": True}},
        "/etc/copyist/retrain",
    ),
    "database_url": (
        {"database": {"url": "postgresql://db/copyist", "existingSecret": {"name": ""}}},
        "postgresql://db/copyist",
    ),
    "files_url": ({"files": {"url": "s3://other/place"}}, "s3://other/place"),
    "models_url": ({"modelSync": {"enabled": True, "url": "s3://models/m"}}, "s3://models/m"),
    "release_url": ({"modelSync": {"enabled": True, "url": "s3://models/m"}}, "configmap://copyist-release"),
}
#: These come out of a pod's name, or out of a secret: never as plain text.
REFERENCES = {"worker_id", "webhook_secret", "trigger_token"}
#: Where a cluster wants something else than a laptop.
OTHER_DEFAULTS = {
    "host": "0.0.0.0",
    "model_repository": "/opt/copyist/model_repository",
    "runs_folder": "/var/cache/copyist/runs",
    "registry_url": "sqlite:////var/cache/copyist/mlflow.sqlite",
    "auth": True,
    "log_format": "json",
    "traced_percent": 10,
}
PLAIN = [setting.name for setting in fields(Settings) if setting.name not in {*ELSEWHERE, *REFERENCES}]


def camel(name: str) -> str:
    """`max_upload_bytes` as values have it: `maxUploadBytes`."""
    return re.sub(r"_(\w)", lambda match: match[1].upper(), name)


def variables(values: dict[str, Any]) -> dict[str, str]:
    """The environment of an audio worker: all settings are in it."""
    objects = render(values)
    worker = find(objects, "StatefulSet", "copyist-amt-worker")
    return environment(objects, worker["spec"]["template"]["spec"]["containers"][0])


def test_values_have_all_settings_and_no_others() -> None:
    assert set(document_values()["settings"]) == {camel(name) for name in PLAIN}


def document_values() -> dict[str, Any]:
    """The chart's values as they are written."""
    found: dict[str, Any] = {}
    for value in document.values(CHART):
        at = found
        for key in value.path[:-1]:
            at = at.setdefault(key, {})
        at[value.path[-1]] = value.default
    return found


def test_a_change_of_each_setting_arrives_as_the_programs_read_it() -> None:
    changed = {
        "host": "10.0.0.1",
        "model_repository": "/models",
        "auth": False,
        "log_format": "text",
        "oidc_issuer": "https://issuer.example.com",
        "otlp_endpoint": "http://otel:4317",
        "traced_percent": 50,
    }
    for setting in fields(Settings):
        if setting.name in PLAIN:
            changed.setdefault(setting.name, 123456789 if isinstance(setting.default, int) else "changed")
    values = merged(CASES["defaults"], {"settings": {camel(name): value for name, value in changed.items()}})
    read = Settings.from_environment(variables(values))
    assert {name: str(getattr(read, name)) for name in changed} == {
        name: str(value) for name, value in changed.items()
    }


@pytest.mark.parametrize("name", ELSEWHERE)
def test_settings_that_stand_elsewhere_arrive_too(name: str) -> None:
    values, expected = ELSEWHERE[name]
    assert variables(merged(CASES["defaults"], values))[PREFIX + name.upper()] == expected


def test_secrets_are_references() -> None:
    for workload in ("amt-worker", "omr-worker"):
        pod = find(case("everything-asked"), "StatefulSet", f"copyist-{workload}")["spec"]["template"]["spec"]
        found = {each["name"]: each.get("valueFrom", {}) for each in pod["containers"][0]["env"]}
        assert found["COPYIST_WEBHOOK_SECRET"] == {"secretKeyRef": {"name": "webhooks", "key": "secret"}}
        assert found["COPYIST_DATABASE_URL"] == {"secretKeyRef": {"name": "database", "key": "url"}}
        assert "COPYIST_WORKER_ID" in found
    pod = find(case("own-s3"), "Deployment", "copyist-omr")["spec"]["template"]["spec"]
    found = {each["name"]: each.get("valueFrom", {}) for each in pod["containers"][0]["env"]}
    assert found["AWS_SECRET_ACCESS_KEY"] == {"secretKeyRef": {"name": "minio", "key": "secret-access-key"}}


def test_defaults_and_descriptions_are_those_of_the_code() -> None:
    told = dict(re.findall(r"^        (\w+): (.*)$", str(Settings.__doc__), re.MULTILINE))
    described = document.described((CHART / "values.yaml").read_text())
    values = document_values()["settings"]
    for setting in fields(Settings):
        if setting.name not in PLAIN:
            continue
        expected = OTHER_DEFAULTS.get(setting.name, setting.default)
        assert values[camel(setting.name)] == expected, setting.name
        assert described["settings", camel(setting.name)].startswith(told[setting.name]), setting.name


def test_a_value_that_the_programs_would_refuse_is_refused_by_the_schema() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]["settings"]["properties"]
    for setting in fields(Settings):
        if (
            setting.name in PLAIN
            and isinstance(setting.default, int)
            and not isinstance(setting.default, bool)
        ):
            assert schema[camel(setting.name)]["minimum"] == 1, setting.name
