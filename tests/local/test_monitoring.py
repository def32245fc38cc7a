"""Prometheus and Alertmanager beside a stack: real ones, with the repository's rules."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx
import pytest

from services.local import stack
from services.local.errors import StackError
from services.local.options import MONITORING, StackOptions, private, watching
from services.local.stack import LocalStack
from services.triton.environment import REPOSITORY_ROOT
from tests.local.command_line import command as stack_command
from tests.triton.models import repository
from tests.waiting import wait_for

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(
        shutil.which("prometheus") is None or shutil.which("prometheus-alertmanager") is None,
        reason="Prometheus or its Alertmanager is not installed",
    ),
]


#: These start and stop less than a whole stack.
command = partial(stack_command, limit_s=300)


def targets(options: StackOptions) -> dict[str, str]:
    """What Prometheus asks for metrics, by the job's name."""
    found = httpx.get(f"http://127.0.0.1:{options.prometheus_port}/api/v1/targets", timeout=60).json()["data"]
    return {target["scrapePool"]: target["scrapeUrl"] for target in found["activeTargets"]}


def test_a_stack_may_have_them_itself_with_the_rules_of_the_repository(tmp_path: Path) -> None:
    models = repository(tmp_path / "models")
    options = replace(private(tmp_path / "run"), model_repository=models, programs=("triton", *MONITORING))
    api = f"http://127.0.0.1:{options.prometheus_port}/api/v1"
    with LocalStack(options), httpx.Client(base_url=api, timeout=60) as http:

        def up() -> dict[str, str]:
            found = http.get("/query", params={"query": "up"}).json()["data"]["result"]
            return {each["metric"]["job"]: each["value"][1] for each in found}

        wait_for(lambda: up() == {f"copyist-{name}": "1" for name in ("triton", "trigger", "release-watch")})
        groups = http.get("/rules").json()["data"]["groups"]
        files = {Path(group["file"]).name for group in groups}
        assert files == {file.name for file in (REPOSITORY_ROOT / "monitoring" / "rules").glob("*.yaml")}

        def managers() -> list[str]:
            found = http.get("/alertmanagers").json()["data"]["activeAlertmanagers"]
            return [manager["url"] for manager in found]

        wait_for(lambda: bool(managers()))
        (manager,) = managers()
        assert f":{options.alertmanager_port}/" in manager
        told = httpx.get(f"http://127.0.0.1:{options.alertmanager_port}/api/v2/status", timeout=60).json()
        assert "alertname" in told["config"]["original"]


def test_monitors_come_beside_a_running_stack_and_go_with_it(tmp_path: Path) -> None:
    models = repository(tmp_path / "models")
    options = replace(private(tmp_path / "run"), model_repository=models, programs=("triton",))
    refused = command(options, "monitor")
    assert (refused.returncode, refused.stderr) == (
        1,
        "copyist: there is no stack to be watched. `make up` starts one.\n",
    )
    try:
        assert command(options, "up", "triton").returncode == 0
        started = command(options, "monitor")
        assert (started.returncode, started.stderr) == (0, "")
        assert f"http://127.0.0.1:{options.prometheus_port}" in started.stdout
        ports = {
            "copyist-triton": options.triton_metrics_port,
            "copyist-amt": options.amt_http_port,
            "copyist-omr": options.omr_http_port,
            "copyist-sync": options.sync_port,
            "copyist-amt-worker": options.amt_worker_port,
            "copyist-omr-worker": options.omr_worker_port,
            "copyist-trigger": options.trigger_port,
            "copyist-release-watch": options.release_watch_port,
        }
        asked = {job: f"http://127.0.0.1:{port}/metrics" for job, port in ports.items()}
        wait_for(lambda: targets(options) == asked)
        shown = command(options, "status")
        assert shown.returncode == 0
        for name in ("triton", *MONITORING):
            assert f"{name} " in shown.stdout
        triton = stack.state(options)
        assert triton is not None
        assert triton.programs["triton"].starts == 1, "it went on as it was"
        stopped = command(options, "down")
        assert (stopped.returncode, stopped.stderr) == (0, "")
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://127.0.0.1:{options.prometheus_port}/-/ready")
    finally:
        stack.down(watching(options), lambda _: None)
        stack.down(options, lambda _: None)


def test_an_absent_prometheus_is_told_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StackError, match=r"prometheus-alertmanager is not installed.*apt-get install"):
        stack.up(watching(private(tmp_path / "run")), lambda _: None)
