"""The programs of the local stack: Triton, the services and their workers."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import Final

import httpx

from services.local import monitoring
from services.local.errors import StackError
from services.local.options import StackOptions
from services.local.program import Health, Program, own, readiness
from services.runtime.settings import PREFIX, Settings
from services.runtime.work import ONE_THREAD_EACH
from services.triton import environment
from services.triton.environment import REPOSITORY_ROOT
from services.triton.server import TritonOptions, servable_models, server_command

#: Seconds that an idle connection is kept longer than a request may take, as in the chart: whoever sends
#: requests must be the first to close it, or one of them meets the closing and fails.
_KEPT_LONGER_S: Final = 120


def programs(options: StackOptions) -> list[Program]:
    """The stack's programs in the order in which they start.

    Raises:
        TritonEnvironmentError: Triton's environment has not been prepared.
        StackError: there is no model repository, or a program is not installed.
    """
    makers = {
        "triton": _triton,
        "amt": _amt,
        "omr": _omr,
        "sync": _sync,
        "amt-worker": _amt_worker,
        "omr-worker": _omr_worker,
        "trigger": monitoring.trigger,
        "release-watch": monitoring.release_watch,
        "prometheus": monitoring.prometheus,
        "alertmanager": monitoring.alertmanager,
    }
    return [makers[name](options) for name in options.programs]


def _triton(options: StackOptions) -> Program:
    found = environment.find(options.triton_environment)
    if not options.model_repository.is_dir():
        raise StackError(
            f"there is no model repository {options.model_repository}.",
            remedy=f"Set {PREFIX}MODEL_REPOSITORY to a folder of models.",
        )
    server = TritonOptions(
        repository=options.served_models,
        grpc_port=options.triton_grpc_port,
        http_port=options.triton_http_port,
        metrics_port=options.triton_metrics_port,
        models=servable_models(options.model_repository),
        address=options.host,
        shm_prefix=_shm_prefix(options),
    )
    http = f"http://{options.host}:{options.triton_http_port}"
    return Program(
        name="triton",
        command=server_command(found, server),
        variables=found.variables(),
        addresses={
            "gRPC": f"{options.host}:{options.triton_grpc_port}",
            "HTTP": http,
            "metrics": f"http://{options.host}:{options.triton_metrics_port}/metrics",
        },
        health=lambda client: _triton_health(client, http),
        cleanup=lambda: remove_shared_memory(options),
        grace_s=12.0,
        needed_by_others=True,
    )


def _triton_health(client: httpx.Client, http: str) -> Health:
    """Ask whether every model has a version that is ready; what else is not, the model sync tells."""
    answer = client.post(f"{http}/v2/repository/index")
    if not answer.is_success:
        return Health(f"the repository index answers {answer.text}")
    versions = [entry for entry in answer.json() if entry.get("version")]
    ready = {entry["name"] for entry in versions if entry.get("state") == "READY"}
    missing = [entry for entry in versions if entry["name"] not in ready]
    reasons = [
        f"model {entry['name']} version {entry['version']}: {reason}"
        for entry in missing
        if entry.get("state") == "UNAVAILABLE" and (reason := entry.get("reason", "")) not in ("", "unloaded")
    ]
    if reasons:
        return Health("; ".join(reasons), lasting=True)
    return Health("loading models") if missing else Health()


def remove_shared_memory(options: StackOptions) -> None:
    """Remove what a Triton that was killed would leave in memory until the machine restarts."""
    for region in Path("/dev/shm").glob(f"{_shm_prefix(options)}*"):  # noqa: S108 - where Linux keeps them
        region.unlink(missing_ok=True)


def _shm_prefix(options: StackOptions) -> str:
    return f"copyist_{options.triton_grpc_port}_"


def _amt(options: StackOptions) -> Program:
    service = "services.amt.service:AudioService"
    return _bento("amt", service, options, options.amt_http_port, options.amt_grpc_port)


def _omr(options: StackOptions) -> Program:
    service = "services.omr.service:PageService"
    return _bento("omr", service, options, options.omr_http_port, options.omr_grpc_port)


def _bento(name: str, service: str, options: StackOptions, http_port: int, grpc_port: int) -> Program:
    """A service that BentoML serves."""
    http = f"http://{options.host}:{http_port}"
    command = [sys.executable, "-m", "bentoml", "serve", service]
    command += ["--working-dir", str(REPOSITORY_ROOT)]
    command += ["--host", options.host, "--port", str(http_port)]
    command += ["--timeout-keep-alive", str(Settings().request_timeout_s + _KEPT_LONGER_S)]
    return Program(
        name=name,
        command=command,
        variables={
            **ONE_THREAD_EACH,
            **os.environ,
            **options.variables,
            "BENTOML_HOME": str(options.run_dir / f"bentoml-{name}"),
            "BENTOML_DO_NOT_TRACK": "true",
        },
        addresses={"HTTP": http, "gRPC": f"{options.host}:{grpc_port}", "docs": f"{http}/docs"},
        health=lambda client: readiness(client, http),
        cleanup=lambda: None,
        grace_s=35.0,
    )


def _sync(options: StackOptions) -> Program:
    """What makes Triton match the release manifest."""
    # As `fill_models` has it.
    variables = {PREFIX + "WARM_UP": "off"}
    return own("sync", ["sync", str(options.served_models)], options, options.sync_port, variables)


def _amt_worker(options: StackOptions) -> Program:
    return _worker("amt", options, options.amt_worker_port)


def _omr_worker(options: StackOptions) -> Program:
    return _worker("omr", options, options.omr_worker_port)


def _worker(service: str, options: StackOptions, port: int) -> Program:
    """A worker, which does the jobs of a service."""
    # The same name after each start: it goes on at once with what it was doing.
    variables = {PREFIX + "WORKER_ID": f"{platform.node()}-{port}"}
    # Jobs under way get `drain_s` to end; then what they hold is handed back.
    return own(f"{service}-worker", ["worker", service], options, port, variables, grace_s=50.0)
