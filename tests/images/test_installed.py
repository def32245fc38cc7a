"""What the services' image installs is whole: it works from there alone, without the source tree.

The commands of the Dockerfile are carried out in a folder, with what stands for its base image's Python.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from services.triton.environment import REPOSITORY_ROOT
from tests.images.builder import Built, build

pytestmark = pytest.mark.slow

#: Shared libraries of the base image: of Debian's libc6, libgcc-s1, libstdc++6 and zlib1g.
OF_THE_BASE = re.compile(
    r"(ld-linux-x86-64|libc|libm|libmvec|libdl|libpthread|librt|libresolv|libutil|libgcc_s|libstdc\+\+|libz)\.so\.\d"
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    folder = tmp_path_factory.mktemp("image")
    yield build(folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def contents(built: Built) -> dict[str, int]:
    """Every file of it, as it was before anything ran, with the time of its last change."""
    return {str(path): path.stat().st_mtime_ns for path in built.root.rglob("*") if path.is_file()}


def test_the_command_tells_its_version(built: Built) -> None:
    done = built.run("copyist", "--version")
    assert (done.returncode, done.stdout) == (0, "copyist, version 0.1.0\n"), done.stderr


def test_every_module_loads_and_work_without_a_model_is_done(built: Built) -> None:
    script = Path(__file__).with_name("offline.py")
    done = built.run("python", "-P", str(script))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert Path(said["home"]).samefile(built.packages / "services")
    assert str(REPOSITORY_ROOT) not in said["path"]
    assert {"services.amt.service", "services.omr.service", "services.cluster.jobs"} <= set(said["modules"])
    assert set(said["files"]) == {"midi", "musicxml", "pdf", "svg", "json", "csv"}
    assert all(size > 200 for size in said["files"].values())


def test_it_holds_what_serving_needs_and_no_more(built: Built) -> None:
    names = {path.name.lower() for path in built.packages.iterdir()}
    assert {"services", "bentoml", "kubernetes", "dbos"} <= names
    assert names.isdisjoint(
        {"torch", "tensorflow", "keras", "pytest", "pipelines", "tests", "pip", "setuptools"}
    )
    for sample in ("demo.flac", "demo-page.png"):
        installed = built.packages / "services" / "client" / "samples" / sample
        assert (
            installed.read_bytes() == (REPOSITORY_ROOT / installed.relative_to(built.packages)).read_bytes()
        )


def test_whatever_is_in_the_source_tree_of_the_services_is_installed(built: Built) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "services"], cwd=REPOSITORY_ROOT, capture_output=True, text=True, check=True
    )
    missing = [name for name in listed.stdout.split() if not (built.packages / name).exists()]
    assert missing == []


def test_anyone_may_read_what_any_user_runs(built: Built) -> None:
    closed = [
        path for path in built.root.rglob("*") if not path.is_symlink() and not path.stat().st_mode & 0o004
    ]
    assert closed == []


def test_the_shipped_release_is_complete(built: Built) -> None:
    repository = built.root / "model_repository"
    for model in ("piano", "symbols", "context"):
        for file in ("card.json", "config.pbtxt", "1/model.onnx"):
            assert (repository / model / file).stat().st_size > 100


def test_every_path_that_the_chart_names_is_there(built: Built) -> None:
    chart = REPOSITORY_ROOT / "charts" / "copyist"
    texts = [path.read_text() for path in (*chart.rglob("*.yaml"), *chart.rglob("*.tpl"))]
    named = {name.rstrip(".") for text in texts for name in re.findall(r"/opt/copyist/[\w./-]+", text)}
    assert len(named) >= 2
    assert [name for name in named if not Path(name.replace("/opt/copyist", str(built.root))).exists()] == []


def test_native_code_needs_no_library_that_the_base_image_lacks(built: Built) -> None:
    readelf = shutil.which("readelf")
    if not readelf:
        pytest.skip("needs readelf (Debian's binutils)")
    libraries = [path for path in built.packages.rglob("*.so*") if path.is_file()]
    assert len(libraries) > 100
    done = subprocess.run([readelf, "-d", *libraries], capture_output=True, text=True, check=True)
    needed = set(re.findall(r"\(NEEDED\).*\[(.+)\]", done.stdout))
    brought = {path.name for path in libraries}
    assert {name for name in needed - brought if not OF_THE_BASE.fullmatch(name)} == set()


def test_the_database_can_be_made_ready(built: Built) -> None:
    database = built.scratch / "jobs.sqlite"
    variables = {**built.environment(), "COPYIST_DATABASE_URL": f"sqlite:///{database}"}
    done = subprocess.run(
        [built.root / "bin" / "copyist", "migrate"],
        cwd=built.root,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert database.stat().st_size > 0


@pytest.mark.parametrize(
    ("service", "sample"), [("amt:AudioService", "demo.flac"), ("omr:PageService", "demo-page.png")]
)
def test_a_service_starts_and_says_what_it_misses(
    built: Built, contents: dict[str, int], service: str, sample: str
) -> None:
    """As a pod does before Triton is there: alive, not ready, and no file written but below /tmp."""
    name, kind = service.split(":")
    http, grpc, triton = free_ports(3)
    variables = {
        **built.environment(),
        "COPYIST_TRITON_URL": f"127.0.0.1:{triton}",
        f"COPYIST_{name.upper()}_GRPC_PORT": str(grpc),
        "COPYIST_HOST": "127.0.0.1",
        "COPYIST_DATABASE_URL": f"sqlite:///{built.scratch}/{name}.sqlite",
        "COPYIST_FILES_URL": str(built.scratch / "files"),
    }
    command = [
        "bentoml",
        "serve",
        f"services.{name}.service:{kind}",
        "--host",
        "127.0.0.1",
        "--port",
        str(http),
    ]
    log = built.scratch / f"{name}.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [built.root / "bin" / command[0], *command[1:]],
            cwd=built.root,
            env=variables,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            address = f"http://127.0.0.1:{http}"
            assert alive(address, process), log.read_text()
            ready = httpx.get(f"{address}/readyz", timeout=120)
            assert (ready.status_code, ready.json()["type"].rpartition(":")[2]) == (503, "model-unavailable")
            assert httpx.get(f"{address}/docs", timeout=120).status_code == 200
        finally:
            process.terminate()
            assert process.wait(60) is not None
    now = {str(path): path.stat().st_mtime_ns for path in built.root.rglob("*") if path.is_file()}
    assert now == contents


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def alive(address: str, process: subprocess.Popen[bytes], *, within_s: float = 240.0) -> bool:
    """Whether the service comes up."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{address}/livez", timeout=5).is_success:
                return True
        except httpx.TransportError:
            time.sleep(0.3)
    return False
