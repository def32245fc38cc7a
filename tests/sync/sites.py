"""A Triton with small models, what is published of them, and what the agent does with it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import httpx
import onnx
from prometheus_client.samples import Sample

from services.local.options import StackOptions
from services.runtime.contract import ModelContract
from services.runtime.release import steps
from services.runtime.release.artefacts import Artefacts
from services.runtime.release.board import open_board
from services.runtime.release.manifest import Manifest, ModelVersion
from services.triton.environment import REPOSITORY_ROOT
from tests.exposition import exposed, values
from tests.triton.models import LOOKUP, add, lookup_model
from tests.waiting import PATIENCE_S, wait_for


def contract(model: str) -> ModelContract:
    """The contract of a copy of the small model of this name."""
    return replace(LOOKUP, model=model)


def shipped(folder: Path, *models: str) -> Path:
    """A repository of small models: y = 10 x."""
    for model in models:
        add(folder, contract(model), lookup_model(10), instances=1)
    return folder


@dataclass(frozen=True)
class Site:
    """A stack's models, and their releases."""

    options: StackOptions

    @property
    def artefacts(self) -> Artefacts:
        return Artefacts(self.options.models_url, self.options.model_repository)

    def start_agent(self, *killed: str) -> subprocess.Popen[bytes]:
        """Start an agent, which may be killed at a step that it takes with a model."""
        command = [sys.executable, "-m", "tests.sync.agent_process", str(self.options.served_models)]
        return subprocess.Popen(
            [*command, *killed], cwd=REPOSITORY_ROOT, env={**os.environ, **self.options.variables}
        )

    @contextmanager
    def agent(self) -> Iterator[None]:
        """Have an agent for as long as the block runs; at its beginning all stable versions are ready."""
        process = self.start_agent()
        try:
            wait_for(self.ready)
            yield
        finally:
            process.terminate()
            assert process.wait(timeout=120) == 0

    def publish(self, folder: Path, model: str, content: onnx.ModelProto | bytes) -> ModelVersion:
        """Publish a next version."""
        folder.mkdir()
        data = content if isinstance(content, bytes) else content.SerializeToString()
        (folder / "model.onnx").write_bytes(data)
        (folder / "card.json").write_text(json.dumps({"name": model, "note": folder.name}))
        return self.artefacts.publish(model, folder, "a test's")

    def step(self, step: steps.Step) -> Manifest:
        return steps.apply(open_board(self.options.release_url), step)

    def canary(self, model: str, version: ModelVersion, share: float = 0.5) -> Manifest:
        shipped = self.artefacts.shipped(model)
        return self.step(
            partial(
                steps.start_canary, model=model, version=version, share=share, shipped=shipped, by="tests"
            )
        )

    def promote(self, model: str) -> Manifest:
        return self.step(partial(steps.promote, model=model, by="tests"))

    def rollback(self, model: str) -> Manifest:
        board = open_board(self.options.release_url)
        history = board.history()
        return self.step(partial(steps.rollback, model=model, history=history, by="tests"))

    def states(self, model: str) -> Mapping[str, str]:
        """What Triton says of a model's versions; those that were unloaded are left out."""
        url = f"http://127.0.0.1:{self.options.triton_http_port}/v2/repository/index"
        try:
            entries = httpx.post(url, timeout=60).raise_for_status().json()
        except httpx.HTTPError:
            return {}
        return {
            entry["version"]: entry["state"]
            for entry in entries
            if entry["name"] == model and "version" in entry and entry.get("reason") != "unloaded"
        }

    def wait(self, model: str, *ready: str, limit_s: float = PATIENCE_S) -> None:
        """Wait until just these versions are ready."""
        expected = dict.fromkeys(ready, "READY")
        wait_for(lambda: self.states(model) == expected, limit_s)

    def lies(self, model: str) -> set[str]:
        """The versions in the folder that Triton is given."""
        folder = self.options.served_models / model
        return {path.name for path in folder.iterdir() if path.name.isdecimal()}

    def starts_with(self, model: str) -> list[str]:
        """The versions that a Triton would start with."""
        text = (self.options.served_models / model / "config.pbtxt").read_text()
        return re.findall(r"versions: (\d+)", text)

    def revision(self, of: str) -> float:
        """The manifest's revision as the agent tells it: the one read (`release`) or in force (`sync`)."""
        (revision,) = values(self._exposed(), f"copyist_{of}_revision")
        return revision

    def told(self, name: str, model: str, version: str, **labels: str) -> float | None:
        """One of the figures that the agent tells of a version; None where it tells of none."""
        found = values(self._exposed(), f"copyist_sync_{name}", model=model, version=version, **labels)
        return found[0] if found else None

    def ready(self) -> bool:
        """Whether the agent says that all stable versions serve."""
        try:
            return httpx.get(f"http://127.0.0.1:{self.options.sync_port}/readyz", timeout=60).is_success
        except httpx.TransportError:
            return False

    def _exposed(self) -> list[Sample]:
        return exposed(f"http://127.0.0.1:{self.options.sync_port}")
