"""The folder that Triton is given: what lies there is whole, is what it says, and is nobody else's."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from services.errors import CopyistError
from services.runtime.files import StorageFullError
from services.runtime.release.artefacts import Artefacts
from services.runtime.release.index import DamagedArtefactError
from services.runtime.release.manifest import NOTHING_RELEASED, Manifest, ModelRelease, ModelVersion
from services.sync.configuration import Configuration
from services.sync.filling import fill
from services.sync.folder import FolderTakenError, ModelFolder
from services.triton.environment import REPOSITORY_ROOT
from tests.databases import free_port
from tests.sync.sites import shipped
from tests.triton.models import lookup_model

MODEL = "lookup"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return shipped(tmp_path / "shipped", MODEL)


@pytest.fixture
def artefacts(tmp_path: Path, models: Path) -> Artefacts:
    return Artefacts(str(tmp_path / "store"), models)


@pytest.fixture
def folder(tmp_path: Path, models: Path) -> ModelFolder:
    return ModelFolder(tmp_path / "served", models)


def publish(artefacts: Artefacts, folder: Path, factor: int) -> ModelVersion:
    folder.mkdir()
    (folder / "model.onnx").write_bytes(lookup_model(factor).SerializeToString())
    (folder / "card.json").write_text(json.dumps({"factor": factor}))
    return artefacts.publish(MODEL, folder)


def releasing(version: ModelVersion) -> Manifest:
    return Manifest(1, {MODEL: ModelRelease(version)})


def test_a_folder_is_filled_with_what_was_shipped(
    tmp_path: Path, models: Path, artefacts: Artefacts, folder: ModelFolder
) -> None:
    first = artefacts.shipped(MODEL)
    with folder.kept():
        assert not folder.synchronised
        fill(folder, artefacts, {MODEL: first}, NOTHING_RELEASED)
    assert folder.synchronised
    assert folder.version(MODEL, "1") == first
    assert folder.named(MODEL) == {"1"}
    served, original = tmp_path / "served" / MODEL, models / MODEL
    assert (served / "1" / "model.onnx").read_bytes() == (original / "1" / "model.onnx").read_bytes()
    # But for the versions, Triton is told what the shipped configuration says.
    said = Configuration((served / "config.pbtxt").read_text())
    assert said.text({"1"}) == Configuration((original / "config.pbtxt").read_text()).text({"1"})


def test_a_folder_for_cpus_asks_for_no_warm_up(tmp_path: Path, artefacts: Artefacts, models: Path) -> None:
    path = models / MODEL / "config.pbtxt"
    warm_up = 'model_warmup [ { name: "one" batch_size: 1 inputs { key: "x" value: { dims: [ 1 ] } } } ]'
    path.write_text(f"{path.read_text()}\n{warm_up}\n")
    for warm, name in ((True, "gpu"), (False, "cpu")):
        folder = ModelFolder(tmp_path / name, models, warm_up=warm)
        with folder.kept():
            fill(folder, artefacts, {MODEL: artefacts.shipped(MODEL)}, NOTHING_RELEASED)
        assert ("model_warmup" in (tmp_path / name / MODEL / "config.pbtxt").read_text()) == warm
        assert ("model_warmup" in folder.configuration(MODEL).json({"1"})) == warm


def test_a_folder_is_filled_with_what_is_released_and_keeps_what_it_has_where_that_cannot_be_had(
    tmp_path: Path, artefacts: Artefacts, folder: ModelFolder
) -> None:
    first, second = artefacts.shipped(MODEL), publish(artefacts, tmp_path / "next", 20)
    unknown = ModelVersion("7", "0" * 64)
    with folder.kept():
        with pytest.raises(CopyistError, match="version 7 of lookup"):
            fill(folder, artefacts, {MODEL: first}, releasing(unknown))
        assert not folder.synchronised
        fill(folder, artefacts, {MODEL: first}, releasing(second))
        assert folder.named(MODEL) == {"2"}
        fill(folder, artefacts, {MODEL: first}, releasing(unknown))
        assert folder.named(MODEL) == {"2"}
        assert folder.synchronised
        # What is damaged is not kept.
        (tmp_path / "served" / MODEL / "2" / "model.onnx").write_bytes(b"")
        with pytest.raises(CopyistError):
            fill(folder, artefacts, {MODEL: first}, releasing(unknown))
        assert not folder.synchronised


@pytest.mark.parametrize("name", ["model.onnx", "card.json", "version.json"])
@pytest.mark.parametrize("damage", [b"", b"{}", None])
def test_what_is_not_whole_is_fetched_anew(
    tmp_path: Path, artefacts: Artefacts, folder: ModelFolder, name: str, damage: bytes | None
) -> None:
    version = publish(artefacts, tmp_path / "next", 20)
    with folder.kept():
        folder.place(MODEL, version, artefacts)
        assert folder.version(MODEL, "2") == version
        file = tmp_path / "served" / MODEL / "2" / name
        whole = file.read_bytes()
        file.unlink()
        if damage is not None:
            file.write_bytes(damage)
        assert folder.version(MODEL, "2") is None
        folder.place(MODEL, version, artefacts)
        assert folder.version(MODEL, "2") == version
        assert file.read_bytes() == whole


def test_another_version_of_the_same_number_is_not_the_one(
    tmp_path: Path, artefacts: Artefacts, folder: ModelFolder
) -> None:
    version = publish(artefacts, tmp_path / "next", 20)
    with folder.kept():
        folder.place(MODEL, version, artefacts)
        assert folder.version(MODEL, "2") != replace(version, digest="1" * 64)


def test_nothing_appears_of_what_is_damaged_in_the_store(
    tmp_path: Path, artefacts: Artefacts, folder: ModelFolder
) -> None:
    version = publish(artefacts, tmp_path / "next", 20)
    blob = tmp_path / "store" / "blobs" / artefacts.index(MODEL, "2").files["model.onnx"].sha256
    blob.write_bytes(blob.read_bytes()[:-1])
    with folder.kept():
        with pytest.raises(DamagedArtefactError):
            folder.place(MODEL, version, artefacts)
        assert folder.numbers(MODEL) == set()
        assert not list((tmp_path / "served" / ".aside").iterdir())


def test_what_was_being_written_is_cleared_and_a_folder_has_one_keeper(
    tmp_path: Path, models: Path, folder: ModelFolder
) -> None:
    left = tmp_path / "served" / ".aside" / "half" / "model.onnx"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    with folder.kept():
        assert not left.exists()
        other = ModelFolder(tmp_path / "served", models)
        with pytest.raises(FolderTakenError), other.kept():
            pass
    with folder.kept():
        pass


def test_a_full_disk_is_told_and_leaves_nothing(
    tmp_path: Path, models: Path, artefacts: Artefacts, folder: ModelFolder
) -> None:
    """A limit of a file's size stands for the disk's."""
    (models / MODEL / "1" / "model.onnx").write_bytes(b"x" * 100_000)
    first = artefacts.shipped(MODEL)
    with folder.kept():
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
        try:
            with pytest.raises(StorageFullError):
                folder.place(MODEL, first, artefacts)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert folder.numbers(MODEL) == set()
        assert not list((tmp_path / "served" / ".aside").iterdir())
        folder.place(MODEL, first, artefacts)
        assert folder.version(MODEL, "1") == first


def test_zeros_are_what_each_shipped_model_takes() -> None:
    for path in sorted((REPOSITORY_ROOT / "model_repository").glob("*/config.pbtxt")):
        request = Configuration(path.read_text()).zeros("1")
        (tensor,), (content,) = request.inputs, request.raw_input_contents
        elements = 1
        for size in tensor.shape:
            elements *= size
        width = {"INT16": 2, "UINT8": 1, "FP32": 4}[tensor.datatype]
        assert tensor.shape[0] == 1
        assert content == bytes(elements * width)


def test_the_command_says_in_a_line_what_is_wrong(tmp_path: Path, models: Path, folder: ModelFolder) -> None:
    own = {"COPYIST_MODEL_REPOSITORY": str(models), "COPYIST_SYNC_PORT": str(free_port())}

    def sync() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "services.client.cli", "sync", str(tmp_path / "served")],
            env={**os.environ, **own},
            cwd=REPOSITORY_ROOT,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    with folder.kept():
        taken = sync()
    assert (taken.returncode, taken.stdout) == (1, "")
    assert taken.stderr == f"copyist: Another `copyist sync` keeps {tmp_path / 'served'}.\n"
