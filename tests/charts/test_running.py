"""The chart's own commands, with its environment, and with nothing to write to but what it mounts.

What containers do on a node is done here with the same means of the kernel: a mount namespace, another user,
no capabilities. Triton is the real one of the tests' stack.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import click
import httpx
import pytest

from services.client.cli import OPERATING, copyist
from services.local.stack import LocalStack
from services.triton.environment import REPOSITORY_ROOT
from tests.charts.rendering import (
    CASES,
    VALUES_FILES,
    Object,
    Values,
    case,
    containers,
    environment,
    merged,
    pod_templates,
    render,
)

DATA: Final = "/srv"  # a folder that every Linux has, to mount the data volume at
USER: Final = 10001
_LAST: Final = ("--clear-groups", "--no-new-privs", "--bounding-set=-all", "--")
#: Makes everything read-only but /tmp, the data and what is no disk; then becomes the user and the command.
_CONTAINED: Final = f"""
mount --bind "$OWN_DATA" {DATA}
mount --bind "$OWN_TMP" /tmp
while read -r _ point kind _; do
  case "$point" in /proc*|/sys*|/dev*|/tmp|{DATA}) continue ;; esac
  case "$kind" in proc|sysfs|cgroup*) continue ;; esac
  mount -o remount,ro,bind "$point"
done < /proc/mounts
cd /
exec setpriv --reuid "$OWN_USER" --regid "$OWN_USER" {" ".join(_LAST)} "$@"
"""


def test_every_command_is_one_that_there_is() -> None:
    context = click.Context(copyist)
    for name in CASES:
        for where, template in pod_templates(case(name)):
            for container in containers(template):
                program, *words = container["command"]
                command: click.Command | None = copyist if program == "copyist" else None
                while isinstance(command, click.Group):
                    command = command.get_command(context, words.pop(0))
                    assert command is not None, where
                if command is not None:
                    here = [str(REPOSITORY_ROOT) if word.startswith("/") else word for word in words]
                    command.make_context(where, here)
    assert OPERATING.keys() & {"migrate", "worker"} == {"migrate", "worker"}


@dataclass
class Container:
    """A container of the chart that runs here."""

    process: subprocess.Popen[bytes]
    log: Path

    def stop(self) -> None:
        """As Kubernetes does it; it must end by itself."""
        self.process.terminate()
        self.process.wait(timeout=120)


def contained(container: Object, objects: list[Object], folder: Path, name: str) -> Container:
    """Start a container's command."""
    own_tmp = folder / f"tmp-{name}"
    data = folder / "data"
    for place in (own_tmp, data):
        place.mkdir(exist_ok=True)
        place.chmod(0o777)
    samples = str(REPOSITORY_ROOT / "services" / "client" / "samples")
    inside = environment(objects, container)
    for each in container["env"]:
        if each.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath") == "metadata.name":
            inside[each["name"]] = f"{name}-0"
    inside["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    # Paths of the image, which here are those of the working tree.
    inside["PYTHONPATH"] = str(REPOSITORY_ROOT)
    command = [
        f"{samples}/{Path(word).name}" if "/samples/" in word else word for word in container["command"]
    ]
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *("unshare", "--mount", "sh", "-eu", "-c", _CONTAINED, "contained"),
                *("env", "-i", f"--chdir={container.get('workingDir', '/')}"),
                *(f"{variable}={value}" for variable, value in inside.items()),
                *command,
            ],
            env={**os.environ, "OWN_DATA": str(data), "OWN_TMP": str(own_tmp), "OWN_USER": str(user())},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    return Container(process, log)


@cache
def user() -> int:
    """The chart's user; root without its capabilities where Python lies in root's own folder."""
    tried = ["setpriv", "--reuid", str(USER), "--regid", str(USER), *_LAST, "env", sys.executable, "-c", ""]
    return 0 if subprocess.run(tried, capture_output=True, check=False).returncode else USER


def eventually(true: Callable[[], bool], running: Container, limit_s: float) -> None:
    """Wait until something is so."""
    ends = time.monotonic() + limit_s
    while not true():
        assert running.process.poll() is None, running.log.read_text()
        assert time.monotonic() < ends, running.log.read_text()
        time.sleep(0.2)


def says_yes(url: str) -> bool:
    """Whether an address answers with success."""
    try:
        return httpx.get(url, timeout=30).is_success
    except httpx.HTTPError:
        return False


def free_ports(number: int) -> list[int]:
    """Ports that nobody listens on just now."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)]
        return [each.getsockname()[1] for each in sockets]


def own_values(stack: LocalStack) -> Values:
    """values-dev.yaml, on free ports of this machine, with the tests' Triton."""
    amt_http, amt_grpc, omr_http, omr_grpc, amt_worker, omr_worker = free_ports(6)
    return merged(
        VALUES_FILES["dev-cpu"],
        {
            "settings": {"host": "127.0.0.1", "modelRepository": str(REPOSITORY_ROOT / "model_repository")},
            "database": {"url": f"sqlite:///{DATA}/copyist.sqlite"},
            "files": {"url": f"{DATA}/files"},
            "dataVolume": {"mountPath": DATA},
            "triton": {"enabled": False, "externalUrl": stack.triton_url},
            "amt": {"ports": {"http": amt_http, "grpc": amt_grpc}},
            "omr": {"ports": {"http": omr_http, "grpc": omr_grpc}},
            "amtWorker": {"port": amt_worker},
            "omrWorker": {"port": omr_worker},
        },
    )


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users may reach, unlike pytest's."""
    if os.geteuid() or subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        pytest.skip("needs root and mount namespaces")
    if Path("/tmp") in Path(sys.prefix).parents:
        pytest.skip("the container's own /tmp would hide Python")
    place = Path("/var/tmp") / f"copyist-chart-{os.getpid()}"
    place.mkdir(mode=0o755)
    yield place
    shutil.rmtree(place)


@pytest.mark.stack
@pytest.mark.slow
def test_all_works_with_nothing_to_write_to_but_tmp(stack: LocalStack, folder: Path) -> None:
    values = own_values(stack)
    objects = render(values)
    pods = {
        template["metadata"]["labels"]["app.kubernetes.io/component"]: template
        for _, template in pod_templates(objects)
    }
    running: list[Container] = []
    try:
        for name in ("amt", "omr", "amt-worker", "omr-worker"):
            (container,) = pods[name]["spec"]["containers"]
            started = contained(container, objects, folder, name)
            running.append(started)
            port = container["ports"][0]["containerPort"]
            path = container["startupProbe"]["httpGet"]["path"]
            address = f"http://127.0.0.1:{port}{path}"
            eventually(lambda address=address: says_yes(address), started, 240)  # type: ignore[misc]
        for container in pods["test"]["spec"]["containers"]:
            command = [
                word.replace("//copyist-amt:", "//127.0.0.1:").replace("//copyist-omr:", "//127.0.0.1:")
                for word in container["command"]
            ]
            tried = contained({**container, "command": command}, objects, folder, container["name"])
            assert tried.process.wait(timeout=400) == 0, tried.log.read_text()
            assert list((folder / f"tmp-{container['name']}" / container["name"]).glob("demo*.mid"))
        assert job(values["amt"]["ports"]["http"], running[2]) == "completed"
    finally:
        for each in reversed(running):
            each.stop()


def job(port: int, worker: Container) -> str:
    """Hand a job in, and tell the state in which it ends."""
    sample = REPOSITORY_ROOT / "services" / "client" / "samples" / "demo.flac"
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as http:
        answer = http.post("/v1/jobs", files={"file": (sample.name, sample.read_bytes())})
        assert answer.status_code == 202, answer.text
        place = answer.headers["Location"]
        state = ""

        def ended() -> bool:
            nonlocal state
            state = http.get(place).json()["state"]
            return state in ("completed", "failed", "cancelled")

        eventually(ended, worker, 300)
        return state
