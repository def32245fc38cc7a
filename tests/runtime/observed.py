"""The audio service and its worker as operators run them who want to see all: JSON logs, traces to Triton."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx

from services.local.models import fill_models
from services.local.options import StackOptions, private
from services.local.programs import programs
from services.local.stack import LocalStack
from tests.runtime.collector import Collector
from tests.waiting import PATIENCE_S


@dataclass(frozen=True)
class Observed:
    """A running audio service and its worker, and the collector that they and Triton send traces to."""

    stack: LocalStack
    collector: Collector

    def lines(self, program: str = "amt") -> list[dict[str, Any]]:
        """A program's log so far, a dictionary for each line."""
        state = self.stack.state()
        assert state is not None
        # What comes after the last line's end is being written.
        *whole, _ = Path(state.programs[program].log).read_text().split("\n")
        return [json.loads(line) for line in whole]

    def line_of(self, request_id: str) -> dict[str, Any]:
        """The line that tells how a request ended."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            for line in self.lines():
                if line.get("request_id") == request_id and "status" in line:
                    return line
            time.sleep(0.05)
        raise AssertionError(f"no line tells of {request_id}")


@contextmanager
def observed(folder: Path) -> Iterator[Observed]:
    """Start it."""
    with Collector() as collector, _triton(private(folder), collector) as options:
        variables = {
            "COPYIST_LOG_FORMAT": "json",
            "COPYIST_OTLP_ENDPOINT": collector.grpc_url,
        }
        programs = replace(options, programs=("amt", "amt-worker"))
        with patch.dict(os.environ, variables), LocalStack(programs) as stack:
            yield Observed(stack, collector)


@contextmanager
def _triton(options: StackOptions, collector: Collector) -> Iterator[StackOptions]:
    """Start a Triton that traces; the local stack has no use for its flags."""
    (program,) = programs(replace(options, programs=("triton",)))
    flags = {
        "mode=opentelemetry",
        "rate=1",
        "level=TIMESTAMPS",
        f"opentelemetry,url={collector.http_url}",
        "opentelemetry,bsp_schedule_delay=100",
    }
    command = [*program.command, *(f"--trace-config={flag}" for flag in flags)]
    options.run_dir.mkdir(parents=True, exist_ok=True)
    fill_models(options)
    with (options.run_dir / "tracing-triton.log").open("wb") as log:
        server = subprocess.Popen(command, env=dict(program.variables), stdout=log, stderr=log)
    try:
        with httpx.Client() as client:
            deadline = time.monotonic() + PATIENCE_S
            while not _ready(options, client):
                assert time.monotonic() < deadline and server.poll() is None
                time.sleep(0.1)
        yield options
    finally:
        server.terminate()
        server.wait()
        program.cleanup()


def _ready(options: StackOptions, client: httpx.Client) -> bool:
    try:
        return client.get(f"http://127.0.0.1:{options.triton_http_port}/v2/health/ready").is_success
    except httpx.TransportError:
        return False
