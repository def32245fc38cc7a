"""The chart starts Triton with what the real server takes, and with the models that are shipped."""

from __future__ import annotations

import re
import subprocess

from services.runtime.settings import Settings
from services.triton import environment
from services.triton.environment import REPOSITORY_ROOT
from services.triton.server import servable_models
from tests.charts.rendering import CASES, case, find, merged, render


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
    pod = find(case("engine-claim"), "Deployment", "copyist-triton")["spec"]["template"]["spec"]
    mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["engines"]["persistentVolumeClaim"] == {"claimName": "copyist-engines"}
    for configuration in (REPOSITORY_ROOT / "model_repository").glob("*/config.pbtxt"):
        for path in re.findall(r'"trt_engine_cache_path" value: "([^"]+)"', configuration.read_text()):
            assert path == mounts["engines"]


def test_models_come_out_of_copyists_image_or_are_synchronised() -> None:
    pod = find(case("defaults"), "Deployment", "copyist-triton")["spec"]["template"]["spec"]
    (copying,) = pod["initContainers"]
    assert copying["image"].startswith("copyist:")
    assert "restartPolicy" not in copying
    pod = find(case("model-sync"), "Deployment", "copyist-triton")["spec"]["template"]["spec"]
    (synchronising,) = pod["initContainers"]
    assert synchronising["command"] == ["copyist", "sync"]
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
