"""Where a local stack runs: its folder, its ports, its model repository."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from services.local.errors import StackError
from services.runtime.settings import PREFIX, Settings
from services.triton.environment import DEFAULT_ROOT, REPOSITORY_ROOT

#: The programs that answer requests; they do without the others.
SERVING: Final = ("triton", "amt", "omr")
#: Every program of the stack, in the order in which they start.
PROGRAMS: Final = (*SERVING, "sync", "amt-worker", "omr-worker")
#: Programs that watch a stack.
MONITORING: Final = ("trigger", "release-watch", "alertmanager", "prometheus")


@dataclass(frozen=True, slots=True, kw_only=True)
class StackOptions:
    """Where a stack runs; every port is a TCP port on `host`.

    Attributes:
        run_dir: folder of its logs and state.
        model_repository: the shipped models.
        triton_environment: the folder that `services.triton.environment` prepared.
        database_url: where jobs are kept.
        files_url: where their files lie.
        models_url: where published versions of models lie.
        release_url: where the release manifest is kept.
        runs_folder: where runs of retraining lie.
        registry_url: where MLflow records them.
        programs: which of `PROGRAMS` and `MONITORING` it consists of.
    """

    run_dir: Path = REPOSITORY_ROOT / ".run"
    model_repository: Path = REPOSITORY_ROOT / "model_repository"
    triton_environment: Path = DEFAULT_ROOT
    database_url: str = f"sqlite:///{REPOSITORY_ROOT}/.data/copyist.sqlite"
    files_url: str = str(REPOSITORY_ROOT / ".data" / "files")
    models_url: str = str(REPOSITORY_ROOT / ".data" / "models")
    release_url: str = str(REPOSITORY_ROOT / ".data" / "release.json")
    runs_folder: Path = REPOSITORY_ROOT / ".data" / "runs"
    registry_url: str = f"sqlite:///{REPOSITORY_ROOT}/.data/mlflow.sqlite"
    host: str = "127.0.0.1"
    triton_grpc_port: int = 8001
    triton_http_port: int = 8000
    triton_metrics_port: int = 8002
    amt_http_port: int = 3000
    amt_grpc_port: int = 3001
    omr_http_port: int = 3002
    omr_grpc_port: int = 3003
    amt_worker_port: int = 3004
    omr_worker_port: int = 3005
    sync_port: int = 3006
    trigger_port: int = 3007
    release_watch_port: int = 3008
    prometheus_port: int = 9090
    alertmanager_port: int = 9093
    programs: tuple[str, ...] = PROGRAMS

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> StackOptions:
        """Read the services' settings, and six variables that only the local stack has.

        They are `COPYIST_RUN_DIR`, `COPYIST_TRITON_ENVIRONMENT`, `COPYIST_TRITON_HTTP_PORT`,
        `COPYIST_TRITON_METRICS_PORT`, `COPYIST_PROMETHEUS_PORT` and `COPYIST_ALERTMANAGER_PORT`.

        Raises:
            StackError: a value cannot be used.
        """
        try:
            settings = Settings.from_environment(environment)
            host, _, grpc_port = settings.triton_url.rpartition(":")
            if host not in (settings.host, "localhost", "127.0.0.1") or not grpc_port.isdecimal():
                raise ValueError(
                    f"{PREFIX}TRITON_URL={settings.triton_url} is not a host:port of this machine."
                )
            defaults = cls()
            return cls(
                run_dir=Path(environment.get(PREFIX + "RUN_DIR") or defaults.run_dir).absolute(),
                model_repository=REPOSITORY_ROOT / settings.model_repository,
                triton_environment=Path(environment.get(PREFIX + "TRITON_ENVIRONMENT") or DEFAULT_ROOT),
                database_url=_absolute(settings.database_url),
                files_url=_absolute(settings.files_url),
                models_url=_absolute(settings.models_url),
                release_url=_absolute(settings.release_url),
                runs_folder=REPOSITORY_ROOT / settings.runs_folder,
                registry_url=_absolute(settings.registry_url),
                host=settings.host,
                triton_grpc_port=int(grpc_port),
                triton_http_port=_port(environment, "TRITON_HTTP_PORT", defaults.triton_http_port),
                triton_metrics_port=_port(environment, "TRITON_METRICS_PORT", defaults.triton_metrics_port),
                amt_http_port=settings.amt_http_port,
                amt_grpc_port=settings.amt_grpc_port,
                omr_http_port=settings.omr_http_port,
                omr_grpc_port=settings.omr_grpc_port,
                amt_worker_port=settings.amt_worker_port,
                omr_worker_port=settings.omr_worker_port,
                sync_port=settings.sync_port,
                trigger_port=settings.trigger_port,
                release_watch_port=settings.release_watch_port,
                prometheus_port=_port(environment, "PROMETHEUS_PORT", defaults.prometheus_port),
                alertmanager_port=_port(environment, "ALERTMANAGER_PORT", defaults.alertmanager_port),
            )
        except ValueError as error:
            raise StackError(str(error), remedy="Correct the variable and try again.") from error

    @property
    def served_models(self) -> Path:
        """The model repository that Triton is given, which the model sync keeps."""
        return self.run_dir / "models"

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables from which `from_environment` reads these very options."""
        values = {
            "RUN_DIR": self.run_dir,
            "MODEL_REPOSITORY": self.model_repository,
            "TRITON_ENVIRONMENT": self.triton_environment,
            "DATABASE_URL": self.database_url,
            "FILES_URL": self.files_url,
            "MODELS_URL": self.models_url,
            "RELEASE_URL": self.release_url,
            "RUNS_FOLDER": self.runs_folder,
            "REGISTRY_URL": self.registry_url,
            "HOST": self.host,
            "TRITON_URL": f"{self.host}:{self.triton_grpc_port}",
            "TRITON_HTTP_PORT": self.triton_http_port,
            "TRITON_METRICS_PORT": self.triton_metrics_port,
            "AMT_HTTP_PORT": self.amt_http_port,
            "AMT_GRPC_PORT": self.amt_grpc_port,
            "OMR_HTTP_PORT": self.omr_http_port,
            "OMR_GRPC_PORT": self.omr_grpc_port,
            "AMT_WORKER_PORT": self.amt_worker_port,
            "OMR_WORKER_PORT": self.omr_worker_port,
            "SYNC_PORT": self.sync_port,
            "TRIGGER_PORT": self.trigger_port,
            "RELEASE_WATCH_PORT": self.release_watch_port,
            "PROMETHEUS_PORT": self.prometheus_port,
            "ALERTMANAGER_PORT": self.alertmanager_port,
        }
        return {PREFIX + name: str(value) for name, value in values.items()}

    def ports(self) -> dict[str, int]:
        """The ports that the stack's programs will listen on, by what each is for."""
        ports = {
            "triton": {
                "Triton's gRPC": self.triton_grpc_port,
                "Triton's HTTP": self.triton_http_port,
                "Triton's metrics": self.triton_metrics_port,
            },
            "amt": {
                "the audio service's HTTP": self.amt_http_port,
                "the audio service's gRPC": self.amt_grpc_port,
            },
            "omr": {
                "the page service's HTTP": self.omr_http_port,
                "the page service's gRPC": self.omr_grpc_port,
            },
            "sync": {"the model sync's metrics": self.sync_port},
            "amt-worker": {"the audio worker's metrics": self.amt_worker_port},
            "omr-worker": {"the page worker's metrics": self.omr_worker_port},
            "trigger": {"the retraining trigger's HTTP": self.trigger_port},
            "release-watch": {"the release watch's metrics": self.release_watch_port},
            "prometheus": {"Prometheus": self.prometheus_port},
            "alertmanager": {"Alertmanager": self.alertmanager_port},
        }
        return {use: port for name in self.programs for use, port in ports[name].items()}


def private(run_dir: Path, options: StackOptions | None = None) -> StackOptions:
    """Options for a stack of one's own: in a folder and with data of its own, on ports that are free now."""
    free = _free_ports()
    data = run_dir.absolute() / "data"
    return replace(
        options or StackOptions.from_environment(),
        run_dir=run_dir.absolute(),
        database_url=f"sqlite:///{data / 'copyist.sqlite'}",
        files_url=str(data / "files"),
        models_url=str(data / "models"),
        release_url=str(data / "release.json"),
        runs_folder=data / "runs",
        registry_url=f"sqlite:///{data / 'mlflow.sqlite'}",
        triton_grpc_port=next(free),
        triton_http_port=next(free),
        triton_metrics_port=next(free),
        amt_http_port=next(free),
        amt_grpc_port=next(free),
        omr_http_port=next(free),
        omr_grpc_port=next(free),
        amt_worker_port=next(free),
        omr_worker_port=next(free),
        sync_port=next(free),
        trigger_port=next(free),
        release_watch_port=next(free),
        prometheus_port=next(free),
        alertmanager_port=next(free),
    )


def watching(options: StackOptions) -> StackOptions:
    """Options for the programs that watch a stack, with a supervisor of their own beside it."""
    return replace(options, run_dir=options.run_dir / "monitor", programs=MONITORING)


def check_ports(options: StackOptions) -> None:
    """Raise StackError, naming the port, when another program listens on one of the stack's."""
    for purpose, port in options.ports().items():
        with closing(socket.socket()) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((options.host, port))
            except OSError as error:
                raise StackError(
                    f"port {port}, for {purpose}, cannot be used: {os.strerror(error.errno or 0).lower()}.",
                    remedy=f"Stop what listens there, or set another ({PREFIX}..._PORT, {PREFIX}TRITON_URL).",
                ) from error


def _absolute(url: str) -> str:
    """Take relative paths from the repository, wherever the programs are started."""
    scheme, slashes, path = url.partition("://")
    if not slashes:
        return str(REPOSITORY_ROOT / url)
    if scheme == "sqlite" and path.startswith("/"):
        return f"sqlite:///{REPOSITORY_ROOT / path[1:]}"
    return url


def _port(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(PREFIX + name, "").strip() or str(default)
    if not text.isdecimal():
        raise ValueError(f"{PREFIX}{name} must be a port number, not {text!r}.")
    return int(text)


def _free_ports() -> Iterator[int]:
    """Ports that nothing listens on; all different, as each is held until the last was found."""
    with ExitStack() as held:
        ports = []
        for _ in range(14):
            probe = held.enter_context(closing(socket.socket()))
            probe.bind(("127.0.0.1", 0))
            ports.append(probe.getsockname()[1])
    return iter(ports)
