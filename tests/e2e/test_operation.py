"""What those who run the service rely on: probes, metrics, models, documentation, Triton's absence."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.local.stack import LocalStack
from services.runtime.readiness import ANSWER_WITHIN_S
from tests.exposition import samples, values
from tests.paused import paused
from tests.recordings import tones, with_soundfile
from tests.waiting import quickest_s, wait_for

pytestmark = pytest.mark.stack

RECORDING = with_soundfile(tones(2, 16_000), 16_000, "WAV")


@pytest.fixture(scope="module")
def http(stack: LocalStack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.http_url, timeout=120) as client:
        yield client


def _samples(http: httpx.Client) -> dict[tuple[str, ...], float]:
    """All samples by name and labels."""
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for sample in samples(http.get("/metrics").text)
    }


def test_probes(http: httpx.Client) -> None:
    assert http.get("/livez").status_code == 200
    assert http.get("/readyz").status_code == 200


def test_models_are_listed_with_their_card(http: httpx.Client) -> None:
    (model,) = http.get("/v1/models").json()["models"]
    assert model["name"] == "piano"
    assert model["version"] == "1"
    assert model["ready"] is True
    assert isinstance(model["card"], dict)


def test_requests_are_measured_with_the_model_version(http: httpx.Client) -> None:
    before = _samples(http)
    assert http.post("/v1/transcribe", files={"file": RECORDING}).status_code == 200
    assert http.post("/v1/transcribe", files={"file": b"x"}).status_code == 422
    after: dict[tuple[str, ...], float] = {}

    def grown(*key: str) -> float:
        key = (key[0], *sorted(key[1:]))
        return after.get(key, 0) - before.get(key, 0)

    route = ("amt", "http", "/v1/transcribe")

    def counted() -> bool:
        after.update(_samples(http))
        return min(grown("copyist_requests_total", *route, status) for status in ("200", "422")) >= 1

    wait_for(counted)  # the last of all, just after the answers
    assert grown("copyist_requests_total", *route, "200") == 1
    assert grown("copyist_requests_total", *route, "422") == 1
    assert grown("copyist_request_seconds_count", *route) == 2
    assert grown("copyist_work_size_count", "piano", "1") == 1
    assert grown("copyist_work_size_sum", "piano", "1") == pytest.approx(2, abs=0.1)
    assert grown("copyist_checks_total", "piano", "1", "notes_found", "yes") == 1
    assert grown("copyist_upload_bytes_count", "amt", "http") == 2
    assert 0 < grown("copyist_upload_bytes_sum", "amt", "http") - len(RECORDING) < 2000
    for stage in ("decode", "model", "notes", "queue", "notation", "engraving"):
        assert grown("copyist_stage_seconds_count", "piano", "1", stage) == 1
    mass = [
        after[key] - before.get(key, 0)
        for key in after
        if key[0] == "copyist_profile_mass_total" and "loudness_db" in key
    ]
    assert sum(mass) == pytest.approx(1)


def test_the_documentation_describes_the_real_endpoints(http: httpx.Client) -> None:
    page = http.get("/docs")
    assert page.headers["Content-Type"].startswith("text/html")
    for path in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert http.get(f"/{path}").status_code == 200
    described = http.get("/docs/openapi.json").json()
    assert described["openapi"].startswith("3.")
    for path, methods in described["paths"].items():
        for method in set(methods) - {"parameters"}:
            answer = http.request(method, path)
            assert answer.status_code not in (405, 500), f"{method} {path}"
            # Of a job there may be nothing to tell; the address itself is there.
            assert "problem:not-found" not in answer.text, f"{method} {path}"
            assert str(answer.status_code) in methods[method]["responses"]
    names = re.findall(r"#/components/schemas/(\w+)", str(described))
    assert set(names) <= set(described["components"]["schemas"])


def test_an_answer_is_as_described(http: httpx.Client) -> None:
    described = http.get("/docs/openapi.json").json()["components"]["schemas"]
    upload = {"file": RECORDING}
    answer = http.post("/v1/transcribe", files=upload, data={"formats": "midi"}).json()
    assert set(answer) == set(described["Transcription"]["required"])
    for note in answer["notes"]:
        assert set(note) == set(described["Note"]["required"])
    problem = http.post("/v1/transcribe", files={"file": b""}).json()
    assert set(problem) == set(described["Problem"]["required"])


def test_a_connection_that_was_idle_for_a_while_still_serves(stack: LocalStack) -> None:
    """Load balancers keep them for a minute and longer; the HTTP server's own default is five seconds."""
    address = httpx.URL(stack.http_url)
    connection = HTTPConnection(address.host, address.port, timeout=60)
    connection.connect()
    connection.auto_open = 0  # a second connection would be an error
    for pause_s in (0, 7):
        time.sleep(pause_s)
        connection.request("GET", "/livez")
        answer = connection.getresponse()
        assert answer.status == 200
        answer.read()
    connection.close()


def test_a_client_that_leaves_frees_its_place(http: httpx.Client, stack: LocalStack) -> None:
    long = with_soundfile(tones(600, 8_000), 8_000, "FLAC")
    request = http.build_request("POST", "/v1/transcribe", files={"file": long})
    left = _left(http)
    connection = HTTPConnection(request.url.host, request.url.port, timeout=60)
    connection.request("POST", request.url.path, request.read(), dict(request.headers))
    wait_for(lambda: _in_flight(http) == 1)
    connection.close()
    # It is not answered, as it would have been in the end, but given up.
    wait_for(lambda: _left(http) == left + 1)
    wait_for(lambda: _in_flight(http) == 0)


def _left(http: httpx.Client) -> float:
    told = samples(http.get("/metrics").text)
    return sum(values(told, "copyist_requests_total", route="/v1/transcribe", status="499"))


def _in_flight(http: httpx.Client) -> float:
    told = samples(http.get("/metrics").text)
    return sum(values(told, "copyist_requests_in_flight", protocol="http", route="/v1/transcribe"))


def _health(stack: LocalStack) -> int:
    with grpc.insecure_channel(stack.grpc_url) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        return int(stub.Check(health_pb2.HealthCheckRequest(service="amt")).status)


def test_without_triton_503_and_back_by_itself(http: httpx.Client, stack: LocalStack) -> None:
    # Stopped, not killed: the supervisor would start a killed one again before it is missed.
    with paused(stack, "triton"):
        # Services look every few seconds: from then on nobody waits for a server that does not answer.
        wait_for(lambda: http.get("/readyz").status_code == 503)
        answers: list[httpx.Response] = []
        upload, limit_s = {"file": RECORDING}, 2 * ANSWER_WITHIN_S
        taken_s = quickest_s(lambda: answers.append(http.post("/v1/transcribe", files=upload)), limit_s)
        assert taken_s < limit_s
        for answer in answers:
            assert answer.status_code == 503, answer.text
            assert answer.json()["type"] == "urn:copyist:problem:model-unavailable"
            assert int(answer.headers["Retry-After"]) > 0
        assert http.get("/v1/models").status_code == 503
        assert http.get("/livez").status_code == 200
        wait_for(lambda: _health(stack) == health_pb2.HealthCheckResponse.NOT_SERVING)
    wait_for(lambda: http.get("/readyz").status_code == 200)
    assert http.post("/v1/transcribe", files={"file": RECORDING}).status_code == 200
    wait_for(lambda: _health(stack) == health_pb2.HealthCheckResponse.SERVING)


def test_triton_killed_amid_a_recording(http: httpx.Client, stack: LocalStack) -> None:
    """The request ends well or with 503; and the service works again once Triton is back."""
    state = stack.state()
    assert state is not None
    process = state.programs["triton"].process
    assert process is not None
    with httpx.Client(base_url=stack.http_url, timeout=120) as other:
        long = with_soundfile(tones(120, 16_000), 16_000, "FLAC")
        request = other.build_request("POST", "/v1/transcribe", files={"file": long})
        answers: list[httpx.Response] = []
        sending = threading.Thread(target=lambda: answers.append(other.send(request)))
        sending.start()
        # This process may have been held up for as long as the whole recording takes.
        wait_for(lambda: _in_flight(http) == 1 or bool(answers))
        time.sleep(0.5)
        os.kill(process.pid, signal.SIGKILL)
        sending.join()
    assert answers[0].status_code in (200, 503), answers[0].text
    # That Triton has died is noticed by the next call at the latest; then it is waited for.
    wait_for(lambda: http.post("/v1/transcribe", files={"file": RECORDING}).status_code == 200)
    wait_for(lambda: http.get("/readyz").status_code == 200)
