"""The agent beside a real Triton: versions come, go, fail, and are repaired."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from services.cluster.config_maps import ConfigMaps
from services.local.stack import state
from services.local.state import ProgramState
from services.runtime.release import steps
from services.runtime.release.config_map_board import ConfigMapBoard
from services.runtime.release.manifest import ModelVersion
from services.runtime.triton import TritonClient
from services.triton.environment import REPOSITORY_ROOT
from tests.charts.rendering import CASES, environment, find, merged, render
from tests.cluster.api_server import ApiServer, serving
from tests.cluster.manifests import connected, kubeconfig
from tests.databases import S3Server
from tests.sync.agent_process import STEPS
from tests.sync.sites import Site, contract
from tests.triton.models import lookup_model
from tests.waiting import wait_for

pytestmark = pytest.mark.stack


def fails_on_zeros() -> onnx.ModelProto:
    """A model that can be loaded, and answers nothing that is 0."""
    model = lookup_model(10)
    table = model.graph.initializer[0]
    model.graph.node[0].input[1] = "far"
    model.graph.node.insert(0, helper.make_node("Sub", ["x", "one"], ["below"]))
    model.graph.node.insert(1, helper.make_node("Mul", ["below", "many"], ["far"]))
    model.graph.initializer.append(numpy_helper.from_array(np.ones(1, np.int32), "one"))
    model.graph.initializer.append(numpy_helper.from_array(np.full(1, 1000, np.int32), "many"))
    assert table.dims == [4]
    onnx.checker.check_model(model)
    return model


async def answer(client: TritonClient, model: str, version: str) -> int:
    found = await client.infer(contract(model), version, {"x": np.full((1, 1), 2, np.int32)})
    return int(found["y"][0, 0])


async def test_versions_come_and_go_and_no_request_fails(site: Site, tmp_path: Path) -> None:
    """A canary is promoted, and the next one after it, under requests to the versions that stay."""
    model = "beside"
    client = TritonClient(f"127.0.0.1:{site.options.triton_grpc_port}")
    stable = {"1": 20}
    answered = 0
    ended = asyncio.Event()

    async def ask() -> None:
        nonlocal answered
        while not ended.is_set():
            (version, expected), *_ = stable.items()
            assert await answer(client, model, version) == expected
            answered += 1

    def release(number: int) -> None:
        nonlocal stable
        site.canary(model, site.publish(tmp_path / str(number), model, lookup_model(10 * number)))
        site.wait(model, *stable, str(number))
        # Before: this process may be held up for as long as it takes the agent to unload a quiet version.
        stable = {str(number): 20 * number}
        site.promote(model)

    callers = [asyncio.create_task(ask()) for _ in range(4)]
    for number in (2, 3):
        await asyncio.to_thread(release, number)
        await asyncio.to_thread(site.wait, model, str(number))
    ended.set()
    await asyncio.gather(*callers)
    await client.close()
    assert answered > 50
    wait_for(lambda: site.lies(model) == {"3"})
    assert site.starts_with(model) == ["3"]


def test_a_version_is_served_as_it_was_published(site: Site, tmp_path: Path) -> None:
    model = "promoted"
    version = site.publish(tmp_path / "next", model, lookup_model(30))
    manifest = site.canary(model, version)
    site.wait(model, "1", "2")
    wait_for(lambda: site.told("ready", model, "2") == 1)
    wait_for(lambda: site.revision("sync") >= manifest.revision)
    assert site.revision("release") >= manifest.revision
    assert site.told("failed", model, "2") == 0
    # A Triton that starts anew starts with what has proven itself.
    assert site.starts_with(model) == ["1"]
    for name in ("model.onnx", "card.json"):
        served = (site.options.served_models / model / "2" / name).read_bytes()
        assert served == (tmp_path / "next" / name).read_bytes()
    site.rollback(model)
    site.wait(model, "1")
    wait_for(lambda: site.lies(model) == {"1"})
    assert site.told("ready", model, "2") is None


@pytest.mark.parametrize(
    ("model", "content", "reason"),
    [("broken", b"no model", "load"), ("answerless", fails_on_zeros().SerializeToString(), "warm-up")],
)
def test_a_version_that_cannot_serve_is_told_and_disturbs_nobody(
    site: Site, tmp_path: Path, model: str, content: bytes, reason: str
) -> None:
    starts = started(site)
    site.canary(model, site.publish(tmp_path / "bad", model, content))
    wait_for(lambda: site.told("failed", model, "2") == 1)
    assert site.told("failures_total", model, "2", reason=reason) == 1
    assert site.told("ready", model, "2") == 0
    assert site.told("ready", model, "1") == 1
    wait_for(lambda: site.states(model).get("2") != "READY")
    assert site.states(model)["1"] == "READY"
    assert site.starts_with(model) == ["1"]
    assert site.ready(), "all stable versions serve"
    # A Triton that was held up when it was asked is ready when it is asked next; it was not started again.
    wait_for(lambda: triton_of(site).phase == "ready")
    assert started(site) == starts
    # A better one does well at once.
    site.rollback(model)
    site.canary(model, site.publish(tmp_path / "good", model, lookup_model(50)))
    wait_for(lambda: site.states(model).get("3") == "READY")
    assert site.states(model)["1"] == "READY"


def test_damaged_files_never_serve_and_mended_ones_do(site: Site, tmp_path: Path) -> None:
    model = "damaged"
    version = site.publish(tmp_path / "next", model, lookup_model(70))
    index = site.artefacts.index(model, version.number)
    blob = Path(site.options.models_url) / "blobs" / index.files["model.onnx"].sha256
    whole = blob.read_bytes()
    for damage in (whole[:-1], whole[:-1] + b"?"):
        blob.write_bytes(damage)
        site.canary(model, version)
        wait_for(lambda: site.told("failed", model, version.number) == 1)
        assert (site.told("failures_total", model, version.number, reason="damaged") or 0) >= 1
        assert site.lies(model) == {"1"}
        site.rollback(model)
        wait_for(lambda: site.told("ready", model, version.number) is None)
    blob.write_bytes(whole)
    site.canary(model, version)
    site.wait(model, "1", version.number)


def test_a_triton_that_was_killed_is_brought_back_to_the_manifest(site: Site, tmp_path: Path) -> None:
    model = "restarted"
    site.canary(model, site.publish(tmp_path / "next", model, lookup_model(70)))
    wait_for(lambda: site.told("ready", model, "2") == 1)
    # Meanwhile a disk fails: what Triton reads at its start is not what was published.
    (site.options.served_models / model / "1" / "model.onnx").write_bytes(b"rotten")
    triton, starts = triton_of(site).process, started(site)
    assert triton is not None
    os.kill(triton.pid, signal.SIGKILL)
    wait_for(lambda: started(site) > starts)
    site.wait(model, "1", "2")
    wait_for(site.ready)
    assert site.starts_with(model) == ["1"]
    served, shipped = (
        (folder / model / "1" / "model.onnx").read_bytes()
        for folder in (site.options.served_models, site.options.model_repository)
    )
    assert served == shipped


def triton_of(site: Site) -> ProgramState:
    """What the supervisor says of Triton."""
    running = state(site.options)
    assert running is not None
    return running.programs["triton"]


def started(site: Site) -> int:
    """How often Triton was started."""
    return triton_of(site).starts


def test_a_shadow_is_loaded_like_a_canary(site: Site, tmp_path: Path) -> None:
    model = "shadowed"
    version = site.publish(tmp_path / "next", model, lookup_model(20))

    def shadow(manifest: steps.Manifest) -> steps.Manifest:
        return steps.start_shadow(manifest, model, version, 0.1, shipped=first, by="tests")

    first: ModelVersion = site.artefacts.shipped(model)
    site.step(shadow)
    site.wait(model, "1", "2")


def test_a_version_that_was_unloaded_comes_back(site: Site, tmp_path: Path) -> None:
    model = "again"
    site.canary(model, site.publish(tmp_path / "next", model, lookup_model(20)))
    site.wait(model, "1", "2")
    site.promote(model)
    site.wait(model, "2")
    wait_for(lambda: site.lies(model) == {"2"})
    site.rollback(model)
    # Until version 1 is there again, version 2 stays.
    while (states := site.states(model)) != {"1": "READY"}:
        assert "READY" in states.values()
        time.sleep(0.05)
    assert site.starts_with(model) == ["1"]


def test_an_agent_that_is_killed_at_every_step_gets_there(triton: Site, tmp_path: Path) -> None:
    model = "killed"
    triton.canary(model, triton.publish(tmp_path / "next", model, lookup_model(40)))
    triton.promote(model)
    for step in STEPS:
        agent = triton.start_agent(step, model)
        while agent.poll() is None:
            # The stable version, old or new, serves throughout.
            assert "READY" in triton.states(model).values()
            time.sleep(0.05)
        assert agent.returncode == -signal.SIGKILL, step
    with triton.agent():
        triton.wait(model, "2")
        wait_for(lambda: triton.lies(model) == {"2"})
    assert triton.starts_with(model) == ["2"]
    assert not list((triton.options.served_models / ".aside").iterdir())
    served = (triton.options.served_models / model / "2" / "model.onnx").read_bytes()
    assert served == (tmp_path / "next" / "model.onnx").read_bytes()


def test_the_charts_sidecar_follows_a_config_map_to_models_in_object_storage(
    triton: Site, s3_server: S3Server, tmp_path: Path
) -> None:
    """As the chart has it, but that paths, ports and addresses are this machine's."""
    model, options = "sidecar", triton.options
    bucket = s3_server.new_bucket()
    values = {
        "modelSync": {"url": bucket, "port": options.sync_port},
        "settings": {"host": options.host, "modelRepository": str(options.model_repository)},
    }
    objects = render(merged(CASES["model-sync"], values))
    pod = find(objects, "Deployment", "copyist-triton")["spec"]["template"]["spec"]
    (sidecar,) = [each for each in pod["initContainers"] if each["name"] == "model-sync"]
    variables = {
        **environment(objects, sidecar),
        "COPYIST_TRITON_URL": options.variables["COPYIST_TRITON_URL"],
    }
    command = [str(options.served_models) if word == "/models" else word for word in sidecar["command"]]
    assert command[0] == "copyist"
    with pytest.MonkeyPatch.context() as patched, serving(ApiServer()) as api:
        for name, value in s3_server.variables.items():
            patched.setenv(name, value)
        api.put("configmaps", find(objects, "ConfigMap", "copyist-release"))
        reader = find(objects, "Role", "copyist-release-reader")["rules"]
        site = replace(triton, options=replace(options, models_url=bucket))
        version = site.publish(tmp_path / "next", model, lookup_model(20))
        process = subprocess.Popen(
            [sys.executable, "-m", "services.client.cli", *command[1:]],
            cwd=REPOSITORY_ROOT,
            env={**os.environ, **variables, "KUBECONFIG": str(kubeconfig(api, tmp_path))},
        )
        try:
            wait_for(site.ready)
            assert {(call.verb, call.resource, call.name or "copyist-release") for call in api.calls} <= {
                (verb, resource, name)
                for rule in reader
                for verb in rule["verbs"]
                for resource in rule["resources"]
                for name in rule["resourceNames"]
            }
            board = ConfigMapBoard(ConfigMaps(connected(api)), "copyist-release")
            first = site.artefacts.shipped(model)
            steps.apply(
                board,
                lambda manifest: steps.start_canary(manifest, model, version, 0.5, shipped=first, by="tests"),
            )
            site.wait(model, "1", "2")
            assert site.lies(model) == {"1", "2"}
        finally:
            process.terminate()
            assert process.wait(timeout=120) == 0
