"""A place for runs of retraining: a small piano model that serves, instruments, folders of its own."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.performing.pianos import Piano
from pipelines.registry.registry import Registry
from pipelines.release.export_piano import export
from pipelines.training.piano.network import NetworkSize, PianoNetwork
from services.amt.notes import DecodingThresholds
from services.triton.environment import REPOSITORY_ROOT
from tests.pipelines.retraining.runs import Place

INSTRUMENTS = ("parametric-0", "parametric-11")


@pytest.fixture(scope="session")
def instruments(tmp_path_factory: pytest.TempPathFactory, piano: Piano) -> Path:
    """A cache with two instruments, one to learn from and one held out."""
    folder = tmp_path_factory.mktemp("cache")
    for name in INSTRUMENTS:
        bank = folder / "pianos" / name
        bank.mkdir(parents=True)
        np.save(bank / "samples.npy", np.repeat(piano.samples, (3, 2), axis=1))
        np.save(bank / "peaks.npy", np.repeat(piano.peaks, (3, 2), axis=1))
        (bank / "piano.json").write_text(json.dumps({"name": name}))
    return folder


@pytest.fixture(autouse=True)
def cache(instruments: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache with the instruments; what tests make in it others may find."""
    monkeypatch.setenv("COPYIST_CACHE", str(instruments))
    return instruments


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository whose piano model is small and has learnt nothing of use."""
    folder = tmp_path_factory.mktemp("repository") / "piano"
    torch.manual_seed(5)
    network = PianoNetwork(NetworkSize(pitch=16)).eval()
    with torch.no_grad():
        # Tensors that are equal, as those of an untrained network, are exported as one.
        for weight in network.state_dict().values():
            if weight.dtype is torch.float32:
                weight.add_(0.01 * torch.rand_like(weight))
    export(network, folder / "1" / "model.onnx")
    shutil.copyfile(REPOSITORY_ROOT / "model_repository" / "piano" / "config.pbtxt", folder / "config.pbtxt")
    card = {"name": "piano", "thresholds": asdict(DecodingThresholds()), "measures": {}}
    (folder / "card.json").write_text(json.dumps(card))
    return folder.parent


@pytest.fixture(scope="session")
def empty_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of MLflow's with nothing in it: making its tables takes seconds."""
    file = tmp_path_factory.mktemp("registry") / "mlflow.sqlite"
    Registry(f"sqlite:///{file}").find_run("none")
    return file


@pytest.fixture
def place(tmp_path: Path, repository: Path, empty_registry: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Folders of the test's own, which all programs are told of."""
    shutil.copyfile(empty_registry, tmp_path / "mlflow.sqlite")
    place = Place(tmp_path, repository)
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)
    return place
