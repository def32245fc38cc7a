"""What watches a local stack: Debian's Prometheus and Alertmanager, with the rules of `monitoring/`, the
retraining trigger that Alertmanager calls, and the release watch that asks Prometheus about canaries.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from typing import Any, Final

import httpx

from services.local.errors import StackError
from services.local.options import MONITORING, PROGRAMS, StackOptions
from services.local.program import Health, Program, own
from services.runtime.settings import PREFIX, Settings
from services.triton.environment import REPOSITORY_ROOT

_FOLDER: Final = REPOSITORY_ROOT / "monitoring"
_EVERY: Final = "5s"
_TOKEN: Final = PREFIX + "TRIGGER_TOKEN"
_PROMETHEUS: Final = PREFIX + "PROMETHEUS_URL"


def prometheus(options: StackOptions) -> Program:
    """Prometheus, which asks all other programs of the stack for their metrics.

    Raises:
        StackError: it is not installed.
    """
    program = _found("prometheus", "prometheus")
    configuration = options.run_dir / "prometheus.json"
    # JSON is YAML too. Written here, as the stack's ports are known only now.
    configuration.write_text(json.dumps(_configuration(options), indent=2))
    return _program(
        "prometheus",
        [
            program,
            f"--config.file={configuration}",
            f"--storage.tsdb.path={options.run_dir / 'prometheus'}",
            f"--web.listen-address={options.host}:{options.prometheus_port}",
        ],
        f"http://{options.host}:{options.prometheus_port}",
    )


def alertmanager(options: StackOptions) -> Program:
    """Alertmanager, which Prometheus tells of alerts.

    Raises:
        StackError: it is not installed.
    """
    program = _found("prometheus-alertmanager", "prometheus-alertmanager")
    _token(options)
    configuration = options.run_dir / "alertmanager.yaml"
    there = f"http://127.0.0.1:{Settings().trigger_port}/"
    here = f"http://{options.host}:{options.trigger_port}/"
    configuration.write_text((_FOLDER / "alertmanager.yaml").read_text("utf-8").replace(there, here), "utf-8")
    return _program(
        "alertmanager",
        [
            program,
            f"--config.file={configuration}",
            f"--storage.path={options.run_dir / 'alertmanager'}",
            f"--web.listen-address={options.host}:{options.alertmanager_port}",
            "--cluster.listen-address=",  # it has no peers
        ],
        f"http://{options.host}:{options.alertmanager_port}",
    )


def trigger(options: StackOptions) -> Program:
    """The retraining trigger, with the token that Alertmanager shows it."""
    variables = {_TOKEN: _token(options)}
    return own("trigger", ["trigger", "serve"], options, options.trigger_port, variables)


def release_watch(options: StackOptions) -> Program:
    """What judges canaries by Prometheus' figures."""
    variables = {_PROMETHEUS: f"http://{options.host}:{options.prometheus_port}"}
    return own("release-watch", ["release", "watch"], options, options.release_watch_port, variables)


def _token(options: StackOptions) -> str:
    """The trigger's token: the operator's, or else one that is made once and kept."""
    # Alertmanager's configuration, a copy of which lies beside it, knows it by this name.
    file = options.run_dir / "trigger-token"
    token = os.environ.get(_TOKEN) or (file.read_text() if file.exists() else secrets.token_hex())
    file.touch(mode=0o600)
    file.write_text(token)
    return token


def _found(name: str, package: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise StackError(f"{name} is not installed.", remedy=f"Debian has it: apt-get install {package}.")
    return path


def _program(name: str, command: list[str], http: str) -> Program:
    return Program(
        name=name,
        command=command,
        variables=os.environ,
        addresses={"HTTP": http},
        health=lambda client: _health(client, f"{http}/-/ready"),
        cleanup=lambda: None,
        grace_s=10.0,
    )


def _health(client: httpx.Client, address: str) -> Health:
    answer = client.get(address)
    return Health() if answer.is_success else Health(f"{address} answers {answer.status_code}")


def _configuration(options: StackOptions) -> dict[str, Any]:
    ports = {
        "triton": options.triton_metrics_port,
        "amt": options.amt_http_port,
        "omr": options.omr_http_port,
        "sync": options.sync_port,
        "amt-worker": options.amt_worker_port,
        "omr-worker": options.omr_worker_port,
        "trigger": options.trigger_port,
        "release-watch": options.release_watch_port,
    }
    # Beside a stack that has a supervisor of its own, all of its programs are asked.
    watched = [name for name in options.programs if name not in MONITORING] or PROGRAMS
    asked = [*watched, *(name for name in options.programs if name in MONITORING and name in ports)]
    return {
        "global": {"scrape_interval": _EVERY, "evaluation_interval": _EVERY},
        "rule_files": [str(_FOLDER / "rules" / "*.yaml")],
        "scrape_configs": [_scraped(f"copyist-{name}", options.host, ports[name]) for name in asked],
        "alerting": {
            "alertmanagers": [
                {"static_configs": [{"targets": [f"{options.host}:{options.alertmanager_port}"]}]}
            ]
        },
    }


def _scraped(job: str, host: str, port: int) -> dict[str, Any]:
    return {"job_name": job, "static_configs": [{"targets": [f"{host}:{port}"]}]}
