"""A real service with the door on: keys made by the command, owners that see only what is theirs."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import grpc
import httpx
import pytest
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from services.client import Copyist
from services.local.options import private
from services.local.stack import LocalStack
from services.runtime.door.keyring import FRESH_S
from tests.recordings import tones, with_soundfile
from tests.waiting import wait_for

pytestmark = pytest.mark.stack

RECORDING = with_soundfile(tones(3, 44_100), 44_100, "FLAC")
#: Calls that one owner may make within a minute: enough for all tests but the one that makes more.
PER_MINUTE = 60


class Doored:
    """The audio service with the door on, and the command beside it."""

    def __init__(self, stack: LocalStack) -> None:
        self.stack = stack

    def keys(self, *arguments: str, succeeds: bool = True) -> str:
        """Run `copyist keys`; give what it writes on standard output."""
        command = [sys.executable, "-m", "services.client.cli", "keys", *arguments]
        result = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
        assert (result.returncode == 0) is succeeds, result.stderr
        assert "Traceback" not in result.stderr
        return result.stdout.strip()

    def client(self, key: str = "") -> httpx.Client:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(base_url=self.stack.http_url, headers=headers, timeout=60)


@pytest.fixture(scope="module")
def door(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doored]:
    """An audio service of its own before the shared Triton."""
    folder = tmp_path_factory.mktemp("door")
    options = replace(private(folder), programs=("amt",), triton_grpc_port=stack.options.triton_grpc_port)
    with pytest.MonkeyPatch.context() as environment:
        for variable, value in options.variables.items():
            environment.setenv(variable, value)
        environment.setenv("COPYIST_AUTH", "on")
        environment.setenv("COPYIST_REQUESTS_PER_MINUTE", str(PER_MINUTE))
        environment.setenv("COPYIST_LOG_FORMAT", "json")
        with LocalStack(options) as running:
            yield Doored(running)


def _submit(client: httpx.Client) -> httpx.Response:
    return client.post("/v1/jobs", files={"file": ("waltz.flac", RECORDING)}, data={"formats": "midi"})


def test_only_those_with_a_key_get_in(door: Doored) -> None:
    key = door.keys("create", "--owner", "team-a", "--label", "tests")
    with door.client() as nobody, door.client(key) as team:
        refused = nobody.post("/v1/transcribe", files={"file": RECORDING})
        assert refused.status_code == 401
        assert refused.json()["type"] == "urn:copyist:problem:unauthenticated"
        assert nobody.get("/v1/models").status_code == 401
        assert nobody.get("/v1/jobs").status_code == 401
        for path in ("/livez", "/readyz", "/metrics", "/docs", "/docs/openapi.json"):
            assert nobody.get(path).status_code == 200, path
        heard = team.post("/v1/transcribe", files={"file": RECORDING})
        assert heard.status_code == 200
        assert heard.json()["notes"]
        assert "server" not in heard.headers
    with Copyist(door.stack.http_url, api_key=key) as copyist:
        assert copyist.transcribe(RECORDING).notes


def test_grpc_asks_for_the_same_keys(door: Doored) -> None:
    key = door.keys("create", "--owner", "team-grpc")
    pages_only = door.keys("create", "--owner", "team-grpc", "--scope", "omr")
    request = pb.ModelInferRequest(model_name="amt")
    tensor = request.inputs.add(name="file", datatype="BYTES", shape=[1])
    tensor.contents.bytes_contents.append(RECORDING)
    with grpc.insecure_channel(door.stack.grpc_url) as channel:
        stub = GRPCInferenceServiceStub(channel)
        for metadata, code in (
            ((), grpc.StatusCode.UNAUTHENTICATED),
            ((("x-api-key", pages_only),), grpc.StatusCode.PERMISSION_DENIED),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                stub.ModelInfer(request, metadata=metadata)
            assert caught.value.code() is code
        answer = stub.ModelInfer(request, metadata=(("authorization", f"Bearer {key}"),))
        assert [output.name for output in answer.outputs] == ["midi", "musicxml", "notes"]


def test_owners_see_only_their_own_jobs(door: Doored) -> None:
    first, again, other = (
        door.keys("create", "--owner", owner) for owner in ("owner-1", "owner-1", "owner-2")
    )
    with door.client(first) as mine, door.client(again) as mine_too, door.client(other) as theirs:
        submitted = _submit(mine)
        assert submitted.status_code == 202
        path = submitted.headers["Location"]
        job_id = submitted.json()["id"]
        same = _submit(mine_too)
        assert (same.status_code, same.json()["id"]) == (200, job_id)
        # The same content of another owner is another job.
        their_job = _submit(theirs)
        assert their_job.status_code == 202
        assert their_job.json()["id"] != job_id

        assert mine_too.get(path).json()["id"] == job_id
        for method, address in (
            ("GET", path),
            ("HEAD", path),
            ("GET", f"{path}/events"),
            ("GET", f"{path}/files/waltz.mid"),
            ("DELETE", path),
        ):
            refused = theirs.request(method, address)
            assert refused.status_code == 404, (method, address)
        unknown = theirs.get(f"/v1/jobs/{'0' * 32}").json()
        theirs_of_mine = theirs.get(path).json()
        assert {**unknown, "instance": ""} == {**theirs_of_mine, "instance": "", "detail": unknown["detail"]}
        assert [job["id"] for job in mine.get("/v1/jobs").json()["jobs"]] == [job_id]
        assert [job["id"] for job in theirs.get("/v1/jobs").json()["jobs"]] == [their_job.json()["id"]]
        assert mine.get(path).json()["state"] == "queued"  # no worker runs here: nobody cancelled it
        assert mine.delete(path).json()["state"] == "cancelled"


def _refused_soon(client: httpx.Client) -> None:
    """What was known of a key counts for FRESH_S, and once more where the database takes long to answer.

    Few questions tell, as every one counts among those that its owner may ask in a minute.
    """
    for _ in range(3):
        time.sleep(FRESH_S + 0.5)
        if client.get("/v1/models").status_code == 401:
            return
    raise AssertionError("it is still let in")


def test_a_revoked_key_is_refused_within_seconds(door: Doored) -> None:
    key = door.keys("create", "--owner", "team-c")
    name = key[:12]
    with door.client(key) as client:
        assert client.get("/v1/models").status_code == 200
        assert "state: valid" in door.keys("show", name)
        told = door.keys("revoke", name)
        assert "state: revoked" in told
        _refused_soon(client)
    assert name in door.keys("list")
    assert key not in door.keys("list")


def test_a_rotated_key_has_time_to_be_replaced(door: Doored) -> None:
    old = door.keys("create", "--owner", "team-d")
    with door.client(old) as client:
        assert client.get("/v1/models").status_code == 200
        new = door.keys("rotate", old[:12], "--grace", "1h")
        assert new != old
        assert new[:12] == old[:12]
        time.sleep(1.1)
        assert client.get("/v1/models").status_code == 200
    with door.client(new) as client:
        assert client.get("/v1/models").status_code == 200
        at_once = door.keys("rotate", old[:12], "--grace", "0m")
        _refused_soon(client)
    with door.client(at_once) as client:
        assert client.get("/v1/models").status_code == 200


def test_too_many_calls_are_refused_before_their_upload_is_read(door: Doored) -> None:
    key = door.keys("create", "--owner", "busy")
    with door.client(key) as client:
        statuses = [client.get("/v1/models").status_code for _ in range(PER_MINUTE)]
        assert statuses == [200] * PER_MINUTE
        large = {"file": bytes(64 << 20)}
        # Another call is allowed every second: now and then between the last small one and the large one.
        for _ in range(5):
            assert 429 in (client.get("/v1/models").status_code for _ in range(10 * PER_MINUTE))
            started_at = time.monotonic()
            refused = client.post("/v1/transcribe", files=large)
            taken_s = time.monotonic() - started_at
            if refused.status_code == 429 and taken_s < 5:
                break
        assert refused.status_code == 429
        assert refused.json()["type"] == "urn:copyist:problem:rate-limited"
        assert int(refused.headers["Retry-After"]) >= 1
        assert taken_s < 5


def test_endless_headers_are_not_kept(door: Doored) -> None:
    host, _, port = door.stack.http_url.removeprefix("http://").partition(":")
    sent = 0
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(b"GET /v1/models HTTP/1.1\r\nHost: x\r\nX-Odd: ")
        with pytest.raises(ConnectionError):
            while sent < 64 << 20:
                sent += connection.send(b"x" * (1 << 16))
                time.sleep(0.001)
    assert sent < 16 << 20


def test_no_key_is_in_a_log(door: Doored) -> None:
    key = door.keys("create", "--owner", "team-e")
    with door.client(key) as client:
        assert client.get("/v1/models").status_code == 200
        assert client.get("/v1/models", headers={"Authorization": f"Bearer {key}x"}).status_code == 401

    def logs() -> str:
        return "".join(path.read_text() for path in Path(door.stack.options.run_dir).glob("*.log"))

    # Both calls are told of, each just after its answer.
    wait_for(lambda: key[:12] in logs() and '"status": 401' in logs().rpartition(key[:12])[2])
    assert key[13:] not in logs()
