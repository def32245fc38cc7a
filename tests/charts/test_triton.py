"""The chart starts Triton with what the real server takes, and with the models that are shipped."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.runtime.settings import Settings
from services.triton import environment
from services.triton.environment import REPOSITORY_ROOT
from services.triton.server import servable_models
from tests.charts.rendering import CASES, case, find, merged, render
from tests.waiting import wait_for


def arguments(name: str) -> list[str]:
    """What Triton is started with."""
    container = find(case(name), "Deployment", "copyist-triton")["spec"]["template"]["spec"]["containers"][0]
    assert container["command"] == ["tritonserver"]
    found: list[str] = container["args"]
    return found


def test_the_server_knows_every_argument() -> None:
    prepared = environment.find(REPOSITORY_ROOT / ".venv-triton")
    told = subprocess.run(
        [str(prepared.server), "--help"],
        env=prepared.variables(),
        capture_output=True,
        text=True,
        check=False,
    )
    known = set(re.findall(r"--[a-z0-9-]+", told.stdout + told.stderr))
    assert "--model-repository" in known
    for name in ("defaults", "dev", "eks", "model-sync", "extras"):
        assert {each.partition("=")[0] for each in arguments(name)} <= known


def test_the_models_that_are_shipped_are_loaded() -> None:
    loaded = {each.partition("=")[2] for each in arguments("defaults") if each.startswith("--load-model=")}
    assert loaded == set(servable_models(REPOSITORY_ROOT / "model_repository"))


def test_engines_are_kept_where_the_models_look_for_them() -> None:
    for name in ("defaults", "engine-claim"):
        pod = find(case(name), "Deployment", "copyist-triton")["spec"]["template"]["spec"]
        mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
        for configuration in (REPOSITORY_ROOT / "model_repository").glob("*/config.pbtxt"):
            for path in re.findall(r'"trt_engine_cache_path" value: "([^"]+)"', configuration.read_text()):
                assert path == mounts["local-engines"]
    # The shared claim is not Triton's to write to.
    assert "engines" not in mounts
    claims = [volume.get("persistentVolumeClaim") for volume in pod["volumes"]]
    assert {"claimName": "copyist-engines"} in claims
    assert find(case("engine-claim"), "PersistentVolumeClaim", "copyist-engines")


@dataclass
class Pod:
    """The sidecar of one pod, run as the chart has it."""

    local: Path
    process: subprocess.Popen[bytes]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], Pod]]:
    """Starts a pod's sidecar, with pauses that suit a test."""
    pod = find(case("engine-claim"), "Deployment", "copyist-triton")["spec"]["template"]["spec"]
    (sidecar,) = [container for container in pod["initContainers"] if container["name"] == "engines"]
    shared = tmp_path / "shared"
    shared.mkdir()
    running = []

    def start_one(name: str) -> Pod:
        local = tmp_path / name
        local.mkdir()
        variables = {"LOCAL": str(local), "SHARED": str(shared), "POD": name, "PAUSE_S": "0.1"}
        process = subprocess.Popen([*sidecar["command"], *sidecar["args"]], env={**os.environ, **variables})
        running.append(process)
        wait_for((local / ".fetched").exists)
        return Pod(local, process)

    yield start_one
    for process in running:
        process.terminate()
        assert process.wait(timeout=60) == 0


def test_an_engine_that_one_pod_built_is_there_for_the_next(
    start: Callable[[str], Pod], tmp_path: Path
) -> None:
    first = start("first")
    engine = first.local / "piano_sm86.engine"
    engine.write_bytes(b"built once")
    os.utime(engine, (time.time() - 120,) * 2)
    wait_for((tmp_path / "shared" / engine.name).exists)
    second = start("second")
    assert (second.local / engine.name).read_bytes() == b"built once"
    assert not list((tmp_path / "shared").glob(".*"))


def test_an_engine_that_is_being_written_is_not_shared_and_none_is_replaced(
    start: Callable[[str], Pod], tmp_path: Path
) -> None:
    shared = tmp_path / "shared"
    (shared / "old.engine").write_bytes(b"old")
    pod = start("only")
    (pod.local / "old.engine").write_bytes(b"new")
    (pod.local / "fresh.engine").write_bytes(b"half")
    settled = pod.local / "settled.engine"
    settled.write_bytes(b"whole")
    for path in (settled, pod.local / "old.engine"):
        os.utime(path, (time.time() - 120,) * 2)
    wait_for((shared / "settled.engine").exists)
    time.sleep(0.3)
    assert not (shared / "fresh.engine").exists()
    assert (shared / "old.engine").read_bytes() == b"old"


def test_models_come_out_of_copyists_image_or_are_synchronised() -> None:
    pod = find(case("defaults"), "Deployment", "copyist-triton")["spec"]["template"]["spec"]
    (copying,) = pod["initContainers"]
    assert copying["image"].startswith("copyist:")
    assert "restartPolicy" not in copying
    pod = find(case("model-sync"), "Deployment", "copyist-triton")["spec"]["template"]["spec"]
    (synchronising,) = pod["initContainers"]
    assert synchronising["command"] == ["copyist", "sync", "/models"]
    assert synchronising["restartPolicy"] == "Always"
    for init in (copying, synchronising):
        assert any(mount["mountPath"] == "/models" for mount in init["volumeMounts"])


def test_grace_of_a_renewed_connection_covers_the_longest_inference() -> None:
    values = merged(CASES["defaults"], {"settings": {"tritonTimeoutS": 90}})
    container = find(render(values), "Deployment", "copyist-triton")["spec"]["template"]["spec"][
        "containers"
    ][0]
    assert "--grpc-max-connection-age-grace=90000" in container["args"]
    assert f"--grpc-max-connection-age-grace={Settings().triton_timeout_s * 1000}" in arguments("defaults")


def test_triton_bears_with_the_pings_of_services() -> None:
    assert "--grpc-http2-max-ping-strikes=0" in arguments("defaults")
