"""Prometheus and Alertmanager beside a local stack: Debian's programs, with the rules of `monitoring/`."""

from __future__ import annotations

import json
import os
import shutil
from typing import Any, Final

import httpx

from services.local.errors import StackError
from services.local.options import MONITORING, PROGRAMS, StackOptions
from services.local.program import Health, Program
from services.triton.environment import REPOSITORY_ROOT

_FOLDER: Final = REPOSITORY_ROOT / "monitoring"
_EVERY: Final = "5s"


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
    return _program(
        "alertmanager",
        [
            program,
            f"--config.file={_FOLDER / 'alertmanager.yaml'}",
            f"--storage.path={options.run_dir / 'alertmanager'}",
            f"--web.listen-address={options.host}:{options.alertmanager_port}",
            "--cluster.listen-address=",  # it has no peers
        ],
        f"http://{options.host}:{options.alertmanager_port}",
    )


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
        health=lambda client: _health(client, http),
        cleanup=lambda: None,
        grace_s=10.0,
    )


def _health(client: httpx.Client, http: str) -> Health:
    answer = client.get(f"{http}/-/ready")
    return Health() if answer.is_success else Health(f"/-/ready answers {answer.status_code}")


def _configuration(options: StackOptions) -> dict[str, Any]:
    ports = {
        "triton": options.triton_metrics_port,
        "amt": options.amt_http_port,
        "omr": options.omr_http_port,
        "amt-worker": options.amt_worker_port,
        "omr-worker": options.omr_worker_port,
    }
    # Beside a stack that has a supervisor of its own, all of its programs are asked.
    asked = [name for name in options.programs if name not in MONITORING] or PROGRAMS
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
