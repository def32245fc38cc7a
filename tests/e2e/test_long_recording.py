"""An hour of audio through the real service: bounded memory, and an event loop that stays free.

The model server is a stand-in that speaks Triton's protocol and answers at once with a busy pianist's
notes: what is measured is the service alone, and the real model would take minutes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import psutil
import pytest
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import (
    GRPCInferenceServiceServicer,
    add_GRPCInferenceServiceServicer_to_server,
)

from services.amt.contract import CHUNK_FRAMES, PITCHES
from services.local.options import private
from services.local.stack import LocalStack
from tests.recordings import tones, with_soundfile

pytestmark = [pytest.mark.stack, pytest.mark.slow]

NOTES_EVERY_FRAMES = 8
GIB = 1 << 30


class PromptServer(GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Answers every chunk with about six notes a second."""

    def __init__(self) -> None:
        posteriors = np.zeros((4, CHUNK_FRAMES, PITCHES), np.uint8)
        for number, frame in enumerate(range(2, CHUNK_FRAMES - 10, NOTES_EVERY_FRAMES)):
            pitch = 20 + number * 7 % 48
            posteriors[0, frame - 1 : frame + 2, pitch] = (150, 255, 150)
            posteriors[2, frame : frame + 10, pitch] = 255
            posteriors[3, frame - 1 : frame + 2, pitch] = 140
        self.answer = pb.ModelInferResponse(model_name="piano", model_version="1")
        self.answer.outputs.add(name="posteriors", datatype="UINT8", shape=(1, *posteriors.shape))
        self.answer.raw_output_contents.append(posteriors.tobytes())

    def RepositoryIndex(self, request: Any, context: Any) -> Any:  # noqa: N802
        answer = pb.RepositoryIndexResponse()
        answer.models.add(name="piano", version="1", state="READY")
        return answer

    def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self.answer


@pytest.fixture
def service(tmp_path: Path) -> Iterator[LocalStack]:
    server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", -1)])
    add_GRPCInferenceServiceServicer_to_server(PromptServer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    options = replace(private(tmp_path / "run"), programs=("amt",), triton_grpc_port=port)
    try:
        with LocalStack(options) as running:
            yield running
    finally:
        server.stop(None).wait()


class Watch(threading.Thread):
    """Notes the service's largest memory, its children's included, and its slowest health check.

    Of a check that took longer than the service computed meanwhile, the rest is the machine's, which did
    something else.
    """

    def __init__(self, service: LocalStack) -> None:
        super().__init__()
        state = service.state()
        assert state is not None
        assert state.programs["amt"].process is not None
        self.process = psutil.Process(state.programs["amt"].process.pid)
        self.url = f"{service.http_url}/livez"
        self.done = threading.Event()
        self.peak_bytes = 0
        self.slowest_s = 0.0

    def run(self) -> None:
        with httpx.Client(timeout=60) as client:
            while not self.done.wait(0.05):
                family = [self.process, *self.process.children(recursive=True)]
                self.peak_bytes = max(self.peak_bytes, sum(_own_bytes(each) for each in family))
                started, computed_s = time.perf_counter(), sum(map(_computed_s, family))
                assert client.get(self.url).status_code == 200
                computed_s = sum(map(_computed_s, family)) - computed_s
                self.slowest_s = max(self.slowest_s, min(time.perf_counter() - started, computed_s))


def _own_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _computed_s(process: psutil.Process) -> float:
    try:
        spent = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(spent.user + spent.system)


def test_an_hour_in_bounded_memory(service: LocalStack) -> None:
    hour = with_soundfile(np.tile(tones(60, 44_100), 60), 44_100, "FLAC")
    watch = Watch(service)
    watch.start()
    try:
        answer = httpx.post(
            f"{service.http_url}/v1/transcribe",
            files={"file": ("hour.flac", hour)},
            data={"formats": "midi,musicxml"},
            timeout=500,
        )
    finally:
        watch.done.set()
        watch.join()
    assert answer.status_code == 200, answer.text
    heard = answer.json()
    print(f"peak {watch.peak_bytes >> 20} MiB, slowest check {watch.slowest_s:.3f} s, {heard['timings_s']}")
    assert heard["duration_s"] == pytest.approx(3600, abs=0.5)
    assert len(heard["notes"]) > 15_000
    assert watch.peak_bytes < GIB
    assert watch.slowest_s < 1
