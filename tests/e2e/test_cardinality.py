"""However callers make up paths, ids, methods, options and headers: Prometheus gets no new series of it."""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import grpc
import httpx
import pytest
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from services.local.stack import LocalStack
from tests.exposition import samples

pytestmark = pytest.mark.stack

#: How often each kind of call is made in a round, with other words each time.
TIMES = 5
#: Stands in all words that are made up.
MARK = "zqx"


@dataclass(frozen=True)
class Service:
    """A service's addresses, and the call that asks for its work."""

    http: str
    grpc: str
    name: str
    work: str
    option: str


def words(seed: int) -> Iterator[str]:
    """Words without end, other ones for each seed."""
    letters = random.Random(seed)
    while True:
        length = letters.randint(1, 40)
        yield MARK + "".join(letters.choices(string.ascii_letters + string.digits, k=length))


def http_calls(http: httpx.Client, service: Service, word: Iterator[str]) -> list[Callable[[], object]]:
    """One call of each kind over HTTP."""

    def upload(**options: str) -> object:
        return http.post(service.work, files={"file": (next(word), next(word).encode())}, data=options)

    def job(path: str = "", method: str = "GET") -> object:
        return http.request(method, f"/v1/jobs/{next(word)}{path}")

    return [
        lambda: http.get(f"/{next(word)}"),
        lambda: http.get(f"/{next(word)}/{next(word)}/{next(word)}?{next(word)}={next(word)}"),
        lambda: http.get(f"/v1/{next(word)}"),
        lambda: http.get(f"/v1/models/{next(word)}"),
        lambda: http.get(f"/docs/assets/{next(word)}"),
        lambda: http.get(f"/..%2f{next(word)}"),
        lambda: http.request(next(word).upper(), "/v1/models"),
        lambda: http.request(next(word).upper(), f"/{next(word)}"),
        job,
        lambda: job("/events"),
        lambda: job(f"/files/{next(word)}"),
        lambda: job(method="DELETE"),
        lambda: http.get("/v1/jobs", params={"state": next(word), "after": next(word)}),
        upload,
        lambda: upload(**{service.option: next(word)}),
        lambda: upload(**{next(word): next(word)}),
        lambda: upload(formats=next(word), instrument=next(word), model=next(word), version=next(word)),
        lambda: http.get("/v1/models", headers={"X-Request-Id": next(word), "User-Agent": next(word)}),
        lambda: http.get("/v1/models", headers={"Host": next(word), "Origin": f"https://{next(word)}"}),
        lambda: http.get("/v1/models", headers={"Authorization": f"Bearer {next(word)}"}),
        lambda: http.get("/v1/models", headers={"traceparent": next(word), next(word): next(word)}),
        lambda: http.get("/livez", headers={"X-Forwarded-For": next(word)}),
    ]


def grpc_calls(channel: grpc.Channel, service: Service, word: Iterator[str]) -> list[Callable[[], object]]:
    """One call of each kind over gRPC."""
    stub = GRPCInferenceServiceStub(channel)

    def infer(model: str, version: str, *options: str) -> object:
        request = pb.ModelInferRequest(model_name=model, model_version=version, id=next(word))
        for name in options:
            request.parameters[name].string_param = next(word)
        request.inputs.add(name="file", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"none")
        return stub.ModelInfer(request, timeout=30, metadata=((next(word).lower(), next(word)),))

    def unknown(path: str) -> object:
        return channel.unary_unary(path)(b"", timeout=30)

    return [
        lambda: infer(next(word), ""),
        lambda: infer(service.name, next(word)),
        lambda: infer(service.name, "", next(word)),
        lambda: infer(service.name, "", "formats", "instrument"),
        lambda: stub.ModelMetadata(pb.ModelMetadataRequest(name=next(word)), timeout=30),
        lambda: stub.ModelReady(pb.ModelReadyRequest(name=next(word), version=next(word)), timeout=30),
        lambda: unknown(f"/{next(word)}.{next(word)}/{next(word)}"),
        lambda: unknown(f"/inference.GRPCInferenceService/{next(word)}"),
    ]


def series(http: httpx.Client) -> set[tuple[object, ...]]:
    """All series that the service tells of, none of which has a word that was made up in it."""
    text = http.get("/metrics").text
    assert MARK not in text.lower()
    assert "bentoml_" not in text, "BentoML's own have raw paths for labels"
    return {(sample.name, *sorted(sample.labels.items())) for sample in samples(text)}


@pytest.mark.parametrize("name", ["amt", "omr"])
def test_what_callers_make_up_makes_no_series(stack: LocalStack, name: str) -> None:
    service = {
        "amt": Service(stack.http_url, stack.grpc_url, "amt", "/v1/transcribe", "tempo_bpm"),
        "omr": Service(stack.omr_http_url, stack.omr_grpc_url, "omr", "/v1/recognize", "colour_by"),
    }[name]
    with (
        httpx.Client(base_url=service.http, timeout=60) as http,
        grpc.insecure_channel(service.grpc) as channel,
    ):

        def make(seed: int) -> set[tuple[object, ...]]:
            word = words(seed)
            for call in (*http_calls(http, service, word), *grpc_calls(channel, service, word)) * TIMES:
                with suppress(grpc.RpcError):
                    call()
            return series(http)

        series(http)  # asking for metrics is a request, too
        before = make(1)
        assert len(before) < 2000
        # A service that is held up may answer in a way of its own, once; what grows with calls never stops.
        for seed in range(2, 5):
            if (now := make(seed)) == before:
                return
            before = now
        raise AssertionError("every round has made new series")
