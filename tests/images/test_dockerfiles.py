"""What every image keeps to; `test_installed` shows that what one installs is whole."""

from __future__ import annotations

import fnmatch
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from services.triton.environment import REPOSITORY_ROOT
from tests.images.dockerfile import IMAGES, NAMES, read

PYPROJECT = tomllib.loads((REPOSITORY_ROOT / "pyproject.toml").read_text())
IGNORED = (REPOSITORY_ROOT / ".dockerignore").read_text().splitlines()


def in_context(path: str) -> bool:
    """Whether `.dockerignore` lets a path into the build; the last pattern that fits decides."""
    inside = True
    for pattern in filter(None, IGNORED):
        if pattern.startswith("#"):
            continue
        wanted, bare = pattern.startswith("!"), pattern.removeprefix("!")
        names = bare.startswith("**/")
        parts = path.split("/")
        if names:
            fits = any(fnmatch.fnmatch(part, bare.removeprefix("**/")) for part in parts)
        else:
            fits = any(fnmatch.fnmatch("/".join(parts[: n + 1]), bare) for n in range(len(parts)))
        if fits:
            inside = wanted
    return inside


def test_the_linter_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    files = [IMAGES / name / "Dockerfile" for name in NAMES]
    result = subprocess.run([hadolint, "--no-color", *files], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "")


@pytest.mark.parametrize("name", NAMES)
class TestImage:
    def test_the_base_is_an_exact_version_the_same_in_all_stages(self, name: str) -> None:
        bases = {stage.base for stage in read(name)}
        assert len(bases) == 1
        assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", bases.pop())

    def test_nothing_is_fetched_but_from_package_registries(self, name: str) -> None:
        for stage in read(name):
            assert not stage.all("ADD")
            for run in stage.all("RUN"):
                assert not re.search(r"\b(curl|wget|git)\b", run.text), run.text

    def test_it_runs_as_a_numbered_user_who_is_not_root(self, name: str) -> None:
        final = read(name)[-1]
        assert [user.text for user in final.all("USER")] == ["10001:10001"]
        words = [instruction.word for instruction in final.instructions]
        assert not set(words[words.index("USER") :]) & {"RUN", "COPY"}

    def test_the_orchestrator_decides_on_ports_health_and_entry(self, name: str) -> None:
        for word in ("ENTRYPOINT", "HEALTHCHECK", "EXPOSE", "VOLUME"):
            assert not read(name)[-1].all(word)

    def test_what_is_built_with_stays_behind(self, name: str) -> None:
        *_, final = read(name)
        assert not any(re.search(r"\b(pip|gcc|build-essential)\b", run.text) for run in final.all("RUN"))
        assert "--without-pip" in " ".join(run.text for run in read(name)[0].all("RUN"))

    def test_everything_copied_exists_and_is_in_the_context(self, name: str) -> None:
        copied = [
            source
            for stage in read(name)
            for copy in stage.all("COPY")
            if not copy.text.startswith("--from")
            for source in copy.words[:-1]
        ]
        assert copied
        for source in copied:
            assert (REPOSITORY_ROOT / source).exists(), source
            assert in_context(source), source

    def test_dependencies_come_from_a_lock_before_the_code(self, name: str) -> None:
        build = read(name)[0].instructions
        texts = [instruction.text for instruction in build]
        installs = next(i for i, text in enumerate(texts) if "--only-binary=:all:" in text)
        assert re.search(r"--requirement requirements/(cluster|training)\.txt", texts[installs])
        # PyTorch's GPU build brings what the lock, made with its CPU build, does not name.
        assert ("--no-deps" in texts[installs]) is (name == "copyist")
        code = [i for i, x in enumerate(build) if x.word == "COPY" and "requirements" not in x.text]
        assert all(i > installs for i in code)

    def test_its_labels_tell_what_it_is(self, name: str) -> None:
        final = read(name)[-1]
        labels = dict(part.split("=", 1) for label in final.all("LABEL") for part in label.words)
        prefix = "org.opencontainers.image."
        assert {key.removeprefix(prefix) for key in labels} == {
            *("title", "description", "licenses", "version", "revision", "base.name")
        }
        assert labels[prefix + "licenses"] == PYPROJECT["project"]["license"]
        assert labels[prefix + "base.name"] == f"docker.io/library/{final.base}"
        arguments = dict(argument.text.split("=", 1) for argument in final.all("ARG"))
        assert arguments["VERSION"] == PYPROJECT["project"]["version"]


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        ("services/amt/service.py", True),
        ("model_repository/piano/1/model.onnx", True),
        ("requirements/cluster.txt", True),
        ("services/amt/__pycache__/service.cpython-311.pyc", False),
        (".git/config", False),
        (".data/copyist.sqlite", False),
        ("tests/conftest.py", False),
        (".venv/bin/python", False),
    ],
)
def test_the_context_holds_what_images_are_made_of_and_no_more(path: str, inside: bool) -> None:
    assert in_context(path) is inside


def test_the_services_have_the_settings_they_need_in_a_container() -> None:
    variables = read("copyist")[-1].variables
    assert variables["OMP_NUM_THREADS"] == variables["OPENBLAS_NUM_THREADS"] == "1"
    assert variables["COPYIST_HOST"] == "0.0.0.0"
    assert variables["COPYIST_MODEL_REPOSITORY"] == "/opt/copyist/model_repository"
    assert variables["PATH"].startswith("/opt/copyist/bin:")
    # Nothing but /tmp can be written to.
    assert variables["HOME"] == "/tmp"
    assert variables["BENTOML_HOME"].startswith("/tmp/")
    assert variables["PYTHONDONTWRITEBYTECODE"] == "1"


def test_training_leads_runs_with_the_code_of_its_tree() -> None:
    build, final = read("training")
    assert any("dist/copyist-*.whl" in run.text for run in build.all("RUN"))
    variables, tree = final.variables, "/srv/copyist"
    assert [place.text for place in final.all("WORKDIR")] == [tree]
    assert variables["PYTHONPATH"] == tree
    assert variables["COPYIST_MODEL_REPOSITORY"] == f"{tree}/model_repository"
    assert variables["COPYIST_RUNS_FOLDER"].startswith(variables["COPYIST_CACHE"] + "/")
    assert variables["COPYIST_REVISION"] == "${REVISION}"
    copied = {copy.words[-1] for copy in final.all("COPY")}
    assert {"services", "pipelines", "model_repository"} <= copied


def test_training_has_the_system_packages_that_make_installs() -> None:
    script = (REPOSITORY_ROOT / ".ci" / "system-packages").read_text()
    wanted = set(re.findall(r"\[([a-z0-9-]+)\]=", script.split("training)")[1].split(";;")[0]))
    run = next(run.text for run in read("training")[-1].all("RUN") if "apt-get" in run.text)
    listed = run.split("--no-install-recommends")[1].split("&&")[0].split()
    assert set(listed) == wanted
    assert listed == sorted(listed)
