"""A real Prometheus over a few programs, with a copy of the rules whose alerts of drift wait for less."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import httpx

from services.local.processes import spawn
from services.operate.prometheus import Prometheus
from tests.databases import free_port
from tests.monitoring.promtool import RULES
from tests.waiting import wait_for

#: Every so many seconds Prometheus asks, and evaluates its rules.
EVERY_S: Final = 2
#: How long the condition of an alert of drift must hold in the copy of the rules.
FOR_S: Final = 5
_FOR: Final = re.compile(r"^( +for:) \w+$", re.MULTILINE)


def impatient_rules(folder: Path) -> None:
    """Copy the rules, with the `for` of those of drift cut to FOR_S; nothing else differs."""
    for file in RULES:
        shutil.copy(file, folder)
    drift = folder / "drift.yaml"
    drift.write_text(_FOR.sub(rf"\1 {FOR_S}s", drift.read_text("utf-8")), "utf-8")


@contextmanager
def prometheus_over(
    targets: Mapping[str, str], folder: Path, *, address: str = "", alertmanager: str = ""
) -> Iterator[Prometheus]:
    """Run a Prometheus that knows nothing yet of the targets, and has asked each of them once.

    Args:
        targets: host:port by the job's name.
        folder: for its configuration, its rules and its data.
        address: host:port where it listens; empty for a port that is free.
        alertmanager: host:port of the one that it tells of alerts; empty for none.
    """
    program = shutil.which("prometheus")
    assert program is not None
    rules = folder / "rules"
    rules.mkdir(parents=True)
    impatient_rules(rules)
    address = address or f"127.0.0.1:{free_port()}"
    configuration = folder / "prometheus.json"
    configuration.write_text(json.dumps(_configuration(targets, rules, alertmanager)))
    flags = (f"--config.file={configuration}", f"--storage.tsdb.path={folder / 'data'}")
    command = [program, *flags, f"--web.listen-address={address}"]
    running = spawn(command, os.environ, folder / "prometheus.log", tied=True)
    try:
        wait_for(lambda: _ready(f"http://{address}"))
        server = Prometheus(f"http://{address}")
        wait_for(lambda: len(server.now("up == 1")) == len(targets))
        yield server
    finally:
        running.terminate()
        running.wait(30)


def _configuration(targets: Mapping[str, str], rules: Path, alertmanager: str) -> dict[str, Any]:
    told = [{"static_configs": [{"targets": [alertmanager]}]}] if alertmanager else []
    return {
        "global": {"scrape_interval": f"{EVERY_S}s", "evaluation_interval": f"{EVERY_S}s"},
        "rule_files": [str(rules / "*.yaml")],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [target]}]} for job, target in targets.items()
        ],
        "alerting": {"alertmanagers": told},
    }


def _ready(url: str) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"{url}/-/ready").is_success
    return False
