"""Traces, told to a real receiver of OTLP over gRPC."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import grpc
import httpx
import pytest
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from services.runtime import tracing
from services.runtime.processes import Processes
from services.runtime.settings import Settings
from services.runtime.tensors import one_element
from services.runtime.work import in_thread, timed
from services.triton.environment import REPOSITORY_ROOT
from tests.recordings import tones, with_soundfile
from tests.runtime.collector import Collector, Span
from tests.runtime.observed import Observed
from tests.waiting import PATIENCE_S, wait_for

RECORDING = with_soundfile(tones(1, 16_000), 16_000, "WAV")


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector, to which this process sends all traces."""
    with Collector() as running:
        tracing.configure(replace(Settings(), otlp_endpoint=running.grpc_url), "test")
        yield running
        tracing.shutdown()


def _by_name(spans: list[Span], trace: str) -> dict[str, Span]:
    return {span.name: span for span in spans if span.trace == trace}


def _context(*, sampled: bool = True) -> tuple[str, str, str]:
    """A caller's trace and span, and the header that tells of them."""
    trace, span = secrets.token_hex(16), secrets.token_hex(8)
    return trace, span, f"00-{trace}-{span}-{'01' if sampled else '00'}"


@pytest.mark.stack
def test_a_recording_is_traced_from_its_caller_down_to_triton(observed: Observed) -> None:
    trace, caller, traceparent = _context()
    answer = httpx.post(
        f"{observed.stack.http_url}/v1/transcribe",
        files={"file": ("private name.wav", RECORDING)},
        params={"formats": "pdf"},
        headers={"traceparent": traceparent, "X-Request-Id": "traced-1"},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    wanted = {
        "POST /v1/transcribe": caller,
        "decode": "POST /v1/transcribe",
        "model": "POST /v1/transcribe",
        "infer piano": "model",
        "InferRequest": "infer piano",  # told by Triton itself
        "notes": "POST /v1/transcribe",
        "score process": "POST /v1/transcribe",
        "notation": "score process",
        "engraving": "score process",
    }
    spans = observed.collector.wait_for(
        lambda all_: found if wanted.keys() <= (found := _by_name(all_, trace)).keys() else None
    )
    for name, parent in wanted.items():
        span = spans[name]
        assert span.parent == (spans[parent].id if parent in spans else parent), name
        assert span.began_ns <= span.ended_ns
        assert not span.failed
    request = spans["POST /v1/transcribe"]
    assert request.attributes["request_id"] == "traced-1"
    assert request.attributes["http.response.status_code"] == 200
    # Written by another process, by the clock of the same machine.
    assert request.began_ns < spans["notation"].began_ns < spans["engraving"].ended_ns < request.ended_ns
    assert {span.service for span in spans.values()} == {"copyist-amt", "triton"}
    assert "private" not in repr(spans)
    assert observed.line_of("traced-1")["trace_id"] == trace


@pytest.mark.stack
def test_a_job_is_traced_from_its_submission_through_its_worker_down_to_triton(observed: Observed) -> None:
    trace, caller, traceparent = _context()
    with httpx.Client(base_url=observed.stack.http_url, timeout=60) as http:
        submitted = http.post(
            "/v1/jobs",
            files={"file": ("private name.wav", RECORDING)},
            data={"formats": "midi"},
            headers={"traceparent": traceparent, "X-Request-Id": "traced-job"},
        )
        assert submitted.status_code == 202, submitted.text
    wanted = {
        "POST /v1/jobs": caller,
        "job": "POST /v1/jobs",
        "transcribing": "job",
        "model": "transcribing",
        "infer piano": "model",
        "InferRequest": "infer piano",
        "engraving": "job",
    }
    spans = observed.collector.wait_for(
        lambda all_: found if wanted.keys() <= (found := _by_name(all_, trace)).keys() else None,
        limit_s=PATIENCE_S,
    )
    for name, parent in wanted.items():
        assert spans[name].parent == (spans[parent].id if parent in spans else parent), name
    assert spans["job"].service == "copyist-amt-worker"
    assert "private" not in repr(spans)

    def told() -> list[dict[str, Any]]:
        return [line for line in observed.lines("amt-worker") if line.get("job") == submitted.json()["id"]]

    wait_for(lambda: any(line["message"].startswith("job ended") for line in told()))
    assert {line["request_id"] for line in told()} == {"traced-job"}
    assert {line["trace_id"] for line in told()} == {trace}
    assert "private" not in json.dumps(observed.lines("amt-worker"))


@pytest.mark.stack
def test_the_context_of_a_grpc_call_is_honoured(observed: Observed) -> None:
    trace, caller, traceparent = _context()
    request = pb.ModelInferRequest(model_name="amt", id="traced-2")
    request.inputs.add(name="file", datatype="BYTES", shape=[1])
    request.raw_input_contents.append(one_element(RECORDING))
    with grpc.insecure_channel(observed.stack.grpc_url) as channel:
        stub = GRPCInferenceServiceStub(channel)
        stub.ModelInfer(request, timeout=60, metadata=(("traceparent", traceparent),))
        with pytest.raises(grpc.RpcError):
            stub.ModelInfer(pb.ModelInferRequest(model_name="amt"), metadata=(("traceparent", traceparent),))
    spans = observed.collector.wait_for(
        lambda all_: (
            [s for s in all_ if s.trace == trace and s.name == "grpc ModelInfer"][1:]
            and [s for s in all_ if s.trace == trace]
        )
    )
    calls = sorted((s for s in spans if s.name == "grpc ModelInfer"), key=lambda span: span.began_ns)
    assert [call.parent for call in calls] == [caller, caller]
    assert [call.attributes["rpc.grpc.status"] for call in calls] == ["OK", "INVALID_ARGUMENT"]
    # What the caller did wrong is no failure of the service.
    assert [call.failed for call in calls] == [False, False]
    assert _by_name(spans, trace)["decode"].parent == calls[0].id
    assert observed.line_of("traced-2")["protocol"] == "grpc"


@pytest.mark.stack
def test_a_caller_that_does_not_trace_is_not_traced_nor_are_health_checks(observed: Observed) -> None:
    silent, _, traceparent = _context(sampled=False)
    with httpx.Client(base_url=observed.stack.http_url, timeout=60) as http:
        wait_for(lambda: http.get("/v1/models", headers={"traceparent": traceparent}).is_success)
        wait_for(lambda: http.get("/readyz").is_success)
        trace, _, traceparent = _context()
        http.get("/v1/models", headers={"traceparent": traceparent})
    observed.collector.wait_for(lambda all_: _by_name(all_, trace))
    assert not _by_name(observed.collector.spans, silent)
    assert not [span for span in observed.collector.spans if "readyz" in span.name]


async def test_work_in_threads_and_processes_belongs_to_the_request(collector: Collector) -> None:
    processes = Processes(1, warm_up=_nothing, max_s=120)
    timings_s: dict[str, float] = {}
    with ThreadPoolExecutor(1) as threads, tracing.span("request", kind="server", carrier={}):
        await in_thread(threads, lambda: _stage(timings_s, "in a thread"))
        await processes.run(_stage, timings_s, "in a process")
    processes.close()
    spans = collector.wait_for(lambda all_: len(all_) == 4 and {span.name: span for span in all_})
    assert len({span.trace for span in spans.values()}) == 1
    assert spans["in a thread"].parent == spans["request"].id
    assert spans["in a process"].parent == spans["score process"].id
    # By a clock that may be set: a good part of what it slept.
    assert spans["in a process"].ended_ns - spans["in a process"].began_ns > 5_000_000


def _nothing() -> None:
    pass


def _stage(timings_s: dict[str, float], name: str) -> None:
    with timed(timings_s, name):
        time.sleep(0.01)


def test_a_job_continues_the_trace_of_its_submission(collector: Collector) -> None:
    with tracing.span("POST /v1/jobs", kind="server", carrier={}):
        submitted = tracing.current_traceparent()
    assert tracing.current_traceparent() == ""
    with tracing.continue_trace(submitted), tracing.span("job", kind="consumer"):
        pass
    with tracing.continue_trace(""), tracing.span("another job", kind="consumer"):
        pass
    request, job, another = collector.wait_for(lambda all_: len(all_) == 3 and all_)
    assert (job.trace, job.parent) == (request.trace, request.id)
    assert another.trace != request.trace
    assert another.parent == ""


def test_a_failure_is_marked_without_its_message(collector: Collector) -> None:
    with pytest.raises(ValueError), tracing.span("stage"):
        raise ValueError("secret of the caller")
    (span,) = collector.wait_for(lambda all_: all_)
    assert span.failed
    assert span.attributes == {"error.type": "ValueError"}


def test_a_share_of_requests_is_traced_with_all_that_belongs_to_them() -> None:
    with Collector() as collector:
        tracing.configure(replace(Settings(), otlp_endpoint=collector.grpc_url, traced_percent=25), "test")
        traced = 0
        for _ in range(800):
            with tracing.span("request", kind="server", carrier={}), tracing.span("stage"):
                traced += int(tracing.current_traceparent()[-2:], 16) & 1  # W3C: of the flags, `sampled`
        collector.wait_for(lambda all_: len(all_) >= 2 * traced)
        tracing.shutdown()
        requests = [span for span in collector.spans if span.name == "request"]
        stages = [span for span in collector.spans if span.name == "stage"]
    assert len(requests) == traced
    assert 130 < traced < 270  # 200 expected; more than five deviations off on either side
    assert {span.trace for span in stages} == {span.trace for span in requests}


def test_a_collector_that_is_away_costs_nobody_anything(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as taken:  # bound, but nobody answers there
        taken.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        tracing.configure(replace(Settings(), otlp_endpoint=endpoint), "test")
        began = time.perf_counter()
        for _ in range(10_000):
            with tracing.span("request", kind="server", carrier={}):
                pass
        # If each thousand of them waited for the collector once, they would take half a minute.
        assert time.perf_counter() - began < 15
        wait_for(lambda: "takes no traces" in caplog.text)
        for _ in range(3000):
            with tracing.span("request", kind="server", carrier={}):
                pass
        began = time.perf_counter()
        tracing.shutdown()
        # It promises four seconds; OpenTelemetry by itself would wait for thirty.
        assert time.perf_counter() - began < 20
    libraries = ("copyist.traces", "opentelemetry", "grpc")
    lines = [
        record
        for record in caplog.records
        if record.levelno >= logging.WARNING and record.name.startswith(libraries)
    ]
    assert [record.name for record in lines] == ["copyist.traces"], caplog.text


def test_without_a_collector_nothing_is_loaded_and_nothing_happens() -> None:
    script = (
        "import sys, time\n"
        "import services.amt.backend, services.omr.backend\n"
        "from services.runtime import tracing\n"
        "from services.runtime.settings import Settings\n"
        "tracing.configure(Settings(), 'amt')\n"
        "with tracing.span('request', {'a': 1}, kind='server', carrier={}): pass\n"
        "assert tracing.outgoing() == {} and tracing.current_traceparent() == ''\n"
        "with tracing.continue_trace('00-' + '1' * 32 + '-' + '1' * 16 + '-01'): pass\n"
        "tracing.shutdown()\n"
        "print(*(name for name in sys.modules if name.startswith('opentelemetry.')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=REPOSITORY_ROOT
    )
    assert done.stdout.strip() == ""


def test_an_address_that_is_none_is_refused_by_its_variable() -> None:
    with pytest.raises(ValueError, match=r"COPYIST_OTLP_ENDPOINT must be http://HOST:PORT, not 'collector'"):
        tracing.configure(replace(Settings(), otlp_endpoint="collector"), "test")


async def test_the_trace_is_that_of_the_task(collector: Collector) -> None:
    async def request(name: str) -> None:
        with tracing.span(name, kind="server", carrier={}):
            await asyncio.sleep(0.01)
            with tracing.span(f"stage of {name}"):
                await asyncio.sleep(0.01)

    await asyncio.gather(*(request(str(index)) for index in range(10)))
    spans = collector.wait_for(lambda all_: len(all_) == 20 and {span.name: span for span in all_})
    for index in range(10):
        assert spans[f"stage of {index}"].parent == spans[str(index)].id
