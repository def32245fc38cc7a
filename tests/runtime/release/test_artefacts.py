"""Published versions: in a folder and in S3, by one publisher and by several at once, whole and damaged."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from services.errors import StorageUnavailableError
from services.runtime.files import FileStore
from services.runtime.release.artefacts import (
    MOST_CARD_BYTES,
    PART_SUFFIX,
    Artefacts,
    BadArtefactError,
    UnknownVersionError,
)
from services.runtime.release.index import CARD_FILE, MODEL_FILE, DamagedArtefactError, Index
from services.runtime.release.manifest import ModelVersion
from services.triton.environment import REPOSITORY_ROOT
from tests.databases import S3Server
from tests.runtime.release.small_models import candidate, ship

MODEL = "piano"


@pytest.fixture(params=["folder", "s3"])
def models_url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "folder":
        return str(tmp_path / "models")
    server: S3Server = request.getfixturevalue("s3_server")
    for name, value in server.variables.items():
        monkeypatch.setenv(name, value)
    return server.new_bucket()


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    ship(tmp_path / "shipped", MODEL)
    return tmp_path / "shipped"


@pytest.fixture
def artefacts(models_url: str, shipped: Path) -> Artefacts:
    return Artefacts(models_url, shipped)


@pytest.fixture
def files(models_url: str) -> FileStore:
    return FileStore(models_url)


def overwrite(files: FileStore, path: str, content: bytes) -> None:
    with pytest.MonkeyPatch.context():
        files.remove_tree(path)
        files.create(path, content)


def blob(artefacts: Artefacts, version: ModelVersion, name: str) -> str:
    return f"blobs/{artefacts.index(MODEL, version.number).files[name].sha256}"


def test_what_was_published_is_fetched_and_read_again(
    artefacts: Artefacts, tmp_path: Path, shipped: Path
) -> None:
    folder = candidate(tmp_path / "run", b"better weights")
    version = artefacts.publish(MODEL, folder, "run 7")
    assert version.number == "2"
    artefacts.fetch(MODEL, version, tmp_path / "2")
    assert {path.name: path.read_bytes() for path in (tmp_path / "2").iterdir()} == {
        name: (folder / name).read_bytes() for name in (MODEL_FILE, CARD_FILE)
    }
    assert json.loads(artefacts.read(MODEL, version, CARD_FILE)) == {"measures": {"f1": 0.95}}
    assert artefacts.index(MODEL, "2").note == "run 7"
    assert artefacts.find(MODEL, "2") == version
    assert artefacts.versions(MODEL) == [artefacts.shipped(MODEL), version]
    assert artefacts.publish(MODEL, folder).number == "3"


def test_the_shipped_version_can_be_had_as_a_published_one(artefacts: Artefacts, tmp_path: Path) -> None:
    version = artefacts.shipped(MODEL)
    assert artefacts.find(MODEL, "1") == version
    assert artefacts.versions(MODEL) == [version]
    artefacts.fetch(MODEL, version, tmp_path / "1")
    assert (tmp_path / "1" / MODEL_FILE).read_bytes() == b"piano 1 as shipped"
    assert json.loads(artefacts.read(MODEL, version, CARD_FILE)) == {"measures": {"f1": 0.9}}


def test_what_was_shipped_stays_when_another_version_is_shipped(
    artefacts: Artefacts, models_url: str, tmp_path: Path
) -> None:
    first = artefacts.shipped(MODEL)
    artefacts.publish(MODEL, candidate(tmp_path / "run"))
    ship(tmp_path / "upgraded", MODEL, card={"measures": {"f1": 0.99}})
    upgraded = Artefacts(models_url, tmp_path / "upgraded")
    assert upgraded.shipped(MODEL).digest != first.digest
    upgraded.fetch(MODEL, first, tmp_path / "1")
    assert (tmp_path / "1" / MODEL_FILE).read_bytes() == b"piano 1 as shipped"
    ship(tmp_path / "later", MODEL, 7)
    assert Artefacts(models_url, tmp_path / "later").publish(MODEL, tmp_path / "run").number == "8"


def test_publishers_at_once_get_numbers_of_their_own(artefacts: Artefacts, tmp_path: Path) -> None:
    folders = [candidate(tmp_path / f"run-{i}", f"weights {i}".encode()) for i in range(12)]
    with ThreadPoolExecutor(6) as publishers:
        versions = list(publishers.map(lambda folder: artefacts.publish(MODEL, folder), folders))
    assert sorted(int(version.number) for version in versions) == list(range(2, 14))
    for folder, version in zip(folders, versions, strict=True):
        assert artefacts.read(MODEL, version, MODEL_FILE) == (folder / MODEL_FILE).read_bytes()


def test_a_publisher_that_dies_before_the_index_leaves_nothing_that_can_be_found(
    shipped: Path, tmp_path: Path
) -> None:
    """It is killed as it writes the index: what it wrote until then are files that nothing names."""
    candidate(tmp_path / "run", b"weights that were published later")
    dying = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from services.runtime.files import FileStore\n"
        "from services.runtime.release.artefacts import Artefacts\n"
        "FileStore.create = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "models, shipped, folder = sys.argv[1:]\n"
        "Artefacts(models, Path(shipped)).publish('piano', Path(folder))\n"
    )
    arguments = [str(tmp_path / name) for name in ("models", "shipped", "run")]
    killed = subprocess.run([sys.executable, "-c", dying, *arguments], cwd=REPOSITORY_ROOT, check=False)
    assert killed.returncode == -9
    artefacts = Artefacts(str(tmp_path / "models"), shipped)
    assert list((tmp_path / "models" / "blobs").iterdir())
    assert artefacts.versions(MODEL) == [artefacts.shipped(MODEL)]
    version = artefacts.publish(MODEL, tmp_path / "run")
    assert version.number == "2"
    assert artefacts.read(MODEL, version, MODEL_FILE) == b"weights that were published later"


@pytest.mark.parametrize(
    "damage",
    [lambda content: content[:-1], lambda content: b"X" + content[1:], lambda _: b"", lambda _: None],
    ids=["half-written", "flipped", "empty", "missing"],
)
@pytest.mark.parametrize("name", [MODEL_FILE, CARD_FILE])
def test_a_damaged_file_is_never_served(
    artefacts: Artefacts,
    files: FileStore,
    tmp_path: Path,
    name: str,
    damage: Callable[[bytes], bytes | None],
) -> None:
    version = artefacts.publish(MODEL, candidate(tmp_path / "run", b"some weights"))
    path = blob(artefacts, version, name)
    content = damage(files.read(path))
    files.remove_tree(path)
    if content is not None:
        files.create(path, content)
    with pytest.raises(DamagedArtefactError, match=f"{name} of piano 2"):
        artefacts.fetch(MODEL, version, tmp_path / "2")
    assert not list(tmp_path.glob("*2*")), "nothing of it is left"
    with pytest.raises(DamagedArtefactError):
        artefacts.read(MODEL, version, name)
    mended = artefacts.publish(MODEL, tmp_path / "run")
    artefacts.fetch(MODEL, mended, tmp_path / "3")
    artefacts.fetch(MODEL, version, tmp_path / "2")


@pytest.mark.parametrize("content", [b"", b"{}", b"no json", b'{"files": {"../../x": {}}}'])
def test_a_damaged_index_is_never_served(
    artefacts: Artefacts, files: FileStore, tmp_path: Path, content: bytes
) -> None:
    version = artefacts.publish(MODEL, candidate(tmp_path / "run"))
    files.remove_tree("piano/versions/2.json")
    files.create("piano/versions/2.json", content)
    for use in (
        lambda: artefacts.find(MODEL, "2"),
        lambda: artefacts.read(MODEL, version, CARD_FILE),
        lambda: artefacts.fetch(MODEL, version, tmp_path / "2"),
    ):
        with pytest.raises(DamagedArtefactError):
            use()
    assert not (tmp_path / "2").exists()


def test_an_index_that_was_replaced_is_not_what_was_released(
    artefacts: Artefacts, files: FileStore, tmp_path: Path
) -> None:
    version = artefacts.publish(MODEL, candidate(tmp_path / "run"))
    other = replace(artefacts.index(MODEL, "2"), note="someone else's")
    files.remove_tree("piano/versions/2.json")
    files.create("piano/versions/2.json", other.encode())
    with pytest.raises(DamagedArtefactError, match="as it was released"):
        artefacts.fetch(MODEL, version, tmp_path / "2")
    assert artefacts.find(MODEL, "2") == other.version


def test_what_is_fetched_appears_whole(
    artefacts: Artefacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = artefacts.publish(MODEL, candidate(tmp_path / "run"))
    seen: list[set[str]] = []
    fetch = FileStore.fetch

    def watched(store: FileStore, path: str, to: Path) -> object:
        assert not (tmp_path / "2").exists()
        seen.append({each.name[-5:] for each in tmp_path.glob(".2.*")})
        return fetch(store, path, to)

    monkeypatch.setattr(FileStore, "fetch", watched)
    artefacts.fetch(MODEL, version, tmp_path / "2")
    assert seen == [{PART_SUFFIX}] * 2
    assert not list(tmp_path.glob(".2.*"))
    with pytest.raises(FileExistsError):
        artefacts.fetch(MODEL, version, tmp_path / "2")


def test_what_does_not_exist_is_told_with_what_does(artefacts: Artefacts, tmp_path: Path) -> None:
    artefacts.publish(MODEL, candidate(tmp_path / "run"))
    with pytest.raises(UnknownVersionError, match=r"no version 9 of the model piano. There are: 1, 2"):
        artefacts.find(MODEL, "9")
    for model in ("violin", "../piano", "piano/1", ""):
        with pytest.raises(UnknownVersionError, match="The models are: piano"):
            artefacts.publish(model, tmp_path / "run")
    with pytest.raises(UnknownVersionError, match="neither published here"):
        artefacts.fetch(MODEL, ModelVersion("9", "0" * 64), tmp_path / "9")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda folder: (folder / MODEL_FILE).unlink(), "has no model.onnx"),
        (lambda folder: (folder / CARD_FILE).unlink(), "has no card.json"),
        (lambda folder: (folder / CARD_FILE).write_text("[]"), "holds no JSON object"),
        (lambda folder: (folder / CARD_FILE).write_bytes(b"\xff"), "is not JSON"),
        (lambda folder: (folder / CARD_FILE).write_bytes(b" " * (MOST_CARD_BYTES + 1)), "limit of 1048576"),
    ],
)
def test_what_is_no_version_is_not_published(
    artefacts: Artefacts, tmp_path: Path, spoil: Callable[[Path], None], told: str
) -> None:
    folder = candidate(tmp_path / "run")
    spoil(folder)
    with pytest.raises(BadArtefactError, match=told):
        artefacts.publish(MODEL, folder)
    assert artefacts.versions(MODEL) == [artefacts.shipped(MODEL)]


def test_storage_that_is_away_is_told_as_such(shipped: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    artefacts = Artefacts(str(tmp_path / "file" / "below"), shipped)
    with pytest.raises(StorageUnavailableError):
        artefacts.publish(MODEL, candidate(tmp_path / "run"))


def test_the_same_index_is_always_the_same_bytes(artefacts: Artefacts, tmp_path: Path) -> None:
    artefacts.publish(MODEL, candidate(tmp_path / "run"), "a note")
    index = artefacts.index(MODEL, "2")
    turned = replace(index, files=dict(reversed(list(index.files.items()))))
    assert turned.encode() == index.encode()
    assert Index.decode(index.encode(), MODEL, "2") == index
