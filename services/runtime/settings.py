"""The settings of a running service, each from one environment variable."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

PREFIX: Final = "COPYIST_"
MIB: Final = 1 << 20
_SWITCH: Final = {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an operator may set; the variable of `triton_url` is `COPYIST_TRITON_URL`, and so on.

    Attributes:
        triton_url: host:port of Triton's gRPC endpoint, or `dns:///host:port`, whose addresses take turns.
        triton_timeout_s: seconds that one inference call may take, waiting in Triton's queue included.
        model_repository: folder in Triton's layout; the models' cards are read from it.
        host: address that the HTTP and gRPC servers listen on.
        amt_http_port: port of the audio service's HTTP API.
        amt_grpc_port: port of the audio service's gRPC API.
        amt_workers: processes that serve the audio service.
        omr_http_port: port of the page service's HTTP API.
        omr_grpc_port: port of the page service's gRPC API.
        omr_workers: processes that serve the page service.
        max_upload_bytes: largest accepted upload, in bytes.
        max_audio_s: longest accepted recording, in seconds.
        max_pages: most pages accepted in one request.
        max_page_pixels: largest accepted picture of a page, in pixels.
        max_recognitions: requests for pages served at once by one process; more are answered 429.
        pages_in_flight: pages read at once by one process, over all requests.
        tiles_in_flight: tiles of one page that may be at the model server at once.
        max_transcriptions: recordings transcribed at once by one process; more are answered 429.
        chunks_in_flight: chunks of one recording that may be at the model server at once.
        engraving_processes: processes that write and engrave scores, for each serving process.
        max_engraving_s: seconds that writing and engraving one score may take.
        request_timeout_s: seconds after which a request is given up, whatever it is doing.
        drain_s: seconds that running requests, or a worker's jobs, get to finish when the process stops.
        database_url: where jobs and keys are kept: `sqlite:///FILE`; `postgresql://...` for several machines.
        files_url: where the files of jobs lie: a folder, or `s3://BUCKET/PREFIX`.
        models_url: where published versions of models lie: a folder, or `s3://BUCKET/PREFIX`.
        release_url: where the release manifest is kept: a file, or `configmap://NAME` in a cluster.
        runs_folder: where runs of retraining and what they have made lie; in a cluster, on a shared volume.
        retrain_jobs: folder with the Jobs that the steps of retraining are run as; empty for processes here.
        registry_url: where MLflow records runs and versions: `sqlite:///FILE`, or a server's address.
        jobs_expire_days: days after its end that a job is forgotten, its files too.
        max_jobs: most unfinished jobs of one service; more are answered 429.
        max_jobs_per_owner: most unfinished jobs of one owner at one service; more are answered 429.
        max_job_s: seconds that one attempt at a job may take.
        max_job_attempts: how often a job is begun; one that ended its worker so often has failed.
        max_event_streams: job event streams open at once in one serving process; more are answered 429.
        worker_id: name of a worker process, the same after a restart; by default made of host and process.
        worker_jobs: jobs that one worker process works on at once.
        worker_lost_s: seconds without a sign of life after which others take over a worker's jobs.
        amt_worker_port: port of an audio worker's health and metrics.
        omr_worker_port: port of a page worker's health and metrics.
        sync_port: port of the model sync's health and metrics.
        warm_up: whether models run their smallest and largest batch before they serve; CPUs need it not.
        webhook_secret: signs the calls that tell of finished jobs; without it, no webhooks are taken.
        webhook_attempts: how often a webhook is tried, over about a day.
        trigger_port: port where Alertmanager calls the retraining trigger, and of its health and metrics.
        trigger_token: what Alertmanager must show to the retraining trigger; without it, none runs.
        release_watch_port: port of the health and metrics of what watches canaries.
        retrain_by: what the trigger starts: `process`, or Jobs of the CronJobs NAME-MODEL, `cronjob://NAME`.
        retrain_budget: how much a triggered retraining may do, as `copyist retrain --budget` knows it.
        retrain_cooldown_h: hours after a triggered retraining of a model in which no other is started.
        retrain_per_month: most retrainings that are triggered within 30 days, of all models together.
        auth: whether callers must show an API key or a token; owners then see only what is theirs.
        oidc_issuer: whose tokens are taken; empty for API keys alone.
        oidc_audience: whom a token must be meant for.
        oidc_owner_claim: the token's claim that names the owner.
        requests_per_minute: calls of one owner to one serving process in a minute; more are answered 429.
        max_requests_per_owner: calls of one owner served at once by one process; more are answered 429.
        cors_origins: web origins, separated by commas, whose pages may call the HTTP API.
        log_format: `text` for people, `json` for machines.
        otlp_endpoint: where traces go, `http://HOST:4317` (OTLP over gRPC); empty for none.
        traced_percent: share of requests that are traced, unless the caller's trace context decides.
    """

    triton_url: str = "127.0.0.1:8001"
    triton_timeout_s: int = 60
    model_repository: Path = Path("model_repository")
    host: str = "127.0.0.1"
    amt_http_port: int = 3000
    amt_grpc_port: int = 3001
    amt_workers: int = 1
    omr_http_port: int = 3002
    omr_grpc_port: int = 3003
    omr_workers: int = 1
    max_upload_bytes: int = 128 * MIB
    max_audio_s: int = 7200
    max_pages: int = 100
    max_page_pixels: int = 100_000_000
    max_recognitions: int = 8
    pages_in_flight: int = 3
    tiles_in_flight: int = 4
    max_transcriptions: int = 4
    chunks_in_flight: int = 3
    engraving_processes: int = 1
    max_engraving_s: int = 300
    request_timeout_s: int = 3600
    drain_s: int = 30
    database_url: str = "sqlite:///.data/copyist.sqlite"
    files_url: str = ".data/files"
    models_url: str = ".data/models"
    release_url: str = ".data/release.json"
    runs_folder: Path = Path(".data/runs")
    retrain_jobs: str = ""
    registry_url: str = "sqlite:///.data/mlflow.sqlite"
    jobs_expire_days: int = 7
    max_jobs: int = 10_000
    max_jobs_per_owner: int = 200
    max_job_s: int = 14_400
    max_job_attempts: int = 3
    max_event_streams: int = 200
    worker_id: str = ""
    worker_jobs: int = 1
    worker_lost_s: int = 20
    amt_worker_port: int = 3004
    omr_worker_port: int = 3005
    sync_port: int = 3006
    warm_up: bool = True
    webhook_secret: str = ""
    webhook_attempts: int = 8
    trigger_port: int = 3007
    trigger_token: str = ""
    release_watch_port: int = 3008
    retrain_by: str = "process"
    retrain_budget: str = "full"
    retrain_cooldown_h: int = 24
    retrain_per_month: int = 6
    auth: bool = False
    oidc_issuer: str = ""
    oidc_audience: str = "copyist"
    oidc_owner_claim: str = "sub"
    requests_per_minute: int = 600
    max_requests_per_owner: int = 16
    cors_origins: str = ""
    log_format: str = "text"
    otlp_endpoint: str = ""
    traced_percent: int = 100

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Read the settings; a variable that is absent or empty leaves the default.

        Raises:
            ValueError: naming the variable, when a number is not a whole one above 0, or a switch neither on
                nor off.
        """
        values: dict[str, Any] = {}
        for setting in fields(cls):
            variable = PREFIX + setting.name.upper()
            text = environment.get(variable, "").strip()
            if text:
                values[setting.name] = _parsed(variable, text, type(setting.default))
        return cls(**values)


def _parsed(variable: str, text: str, kind: type) -> str | Path | int:
    if kind is bool:
        if text.lower() not in _SWITCH:
            raise ValueError(f"{variable} must be on or off, not {text!r}.")
        return _SWITCH[text.lower()]
    if kind is not int:
        return text if kind is str else Path(text)
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{variable} must be a whole number above 0, not {text!r}.")
    return int(text)
