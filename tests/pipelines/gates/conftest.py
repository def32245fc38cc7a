"""What the tests of the gates share: versions of the real models, and a cache that outlives a test."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.evaluation.gates.models import REPOSITORY, ModelFiles
from tests.spoiled_models import Maker

#: As many pieces as a test set needs to be judged at all: a candidate is judged in seconds.
LIMIT = 8

MakeVersion = Callable[..., Path]


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache in which the champions' evaluations are kept from one test to the next."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def cache(kept: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache without any corpus: the test sets are those that ship with the code."""
    monkeypatch.setenv("COPYIST_CACHE", str(kept))
    return kept


@pytest.fixture
def make_version(tmp_path: Path) -> MakeVersion:
    """Makes a version of a released model: its file by a maker, its card as it should be, or changed."""

    def make(model: str, maker: Maker, **card: Any) -> Path:
        released = ModelFiles.of(REPOSITORY / model)
        folder = tmp_path / model / maker.__name__
        maker(released.onnx, folder / "model.onnx")
        digest = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
        said = {**released.card, "sha256": digest, **card}
        (folder / "card.json").write_text(json.dumps(said))
        return folder

    return make
