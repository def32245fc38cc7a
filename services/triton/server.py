"""The command line of a local Triton server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from services.triton.environment import TritonEnvironment


@dataclass(frozen=True, slots=True)
class TritonOptions:
    """What a local server serves, and where.

    Attributes:
        repository: the model repository, used as it is.
        grpc_port, http_port, metrics_port: TCP ports, each on `address`.
        models: loaded at the start; others by request (EXPLICIT model control).
        address: the IP address that every port is bound to.
        shm_prefix: begins the name of every shared memory region that the server makes.
    """

    repository: Path
    grpc_port: int
    http_port: int
    metrics_port: int
    models: Sequence[str] = ()
    address: str = "127.0.0.1"
    shm_prefix: str = "copyist_"


def server_command(environment: TritonEnvironment, options: TritonOptions) -> list[str]:
    """The command that starts the server; run it with `environment.variables()`.

    A model that fails to load does not stop the server, as in a cluster: the others are served, and
    the repository index says what is wrong with it. The server counts as ready all the same: under strict
    readiness, one version that cannot be loaded beside another would make it unready for good. Configurations
    must be complete, so that one that only a lenient server would accept is found out here.
    """
    return [
        str(environment.server),
        f"--model-repository={options.repository}",
        f"--backend-directory={environment.backends}",
        f"--backend-config=python,shm-region-prefix-name={options.shm_prefix}",
        "--model-control-mode=explicit",
        *(f"--load-model={model}" for model in options.models),
        "--exit-on-error=false",
        "--strict-readiness=false",
        "--disable-auto-complete-config",
        f"--grpc-address={options.address}",
        f"--grpc-port={options.grpc_port}",
        "--grpc-http2-max-ping-strikes=0",  # clients ping often: they must notice soon that a server hangs
        f"--http-address={options.address}",
        f"--http-port={options.http_port}",
        f"--metrics-address={options.address}",
        f"--metrics-port={options.metrics_port}",
        "--allow-gpu-metrics=false",
        "--log-format=ISO8601",
        "--exit-timeout-secs=10",
    ]


def servable_models(repository: Path) -> list[str]:
    """Names of the models in a repository that have a configuration and at least one version."""
    return sorted(
        path.parent.name
        for path in repository.glob("*/config.pbtxt")
        if any(version.name.isdigit() for version in path.parent.glob("*/"))
    )
