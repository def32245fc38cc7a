"""Models of a few bytes, as they are shipped and published."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def ship(repository: Path, model: str, number: int = 1, card: Mapping[str, Any] | None = None) -> None:
    """Lay a version of a model into a repository, as one that came with Copyist."""
    folder = repository / model / str(number)
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(f"{model} {number} as shipped".encode())
    (folder.parent / "card.json").write_text(json.dumps(card or {"measures": {"f1": 0.9}}))
    (folder.parent / "config.pbtxt").write_text(f'name: "{model}"')


def candidate(folder: Path, content: bytes = b"weights", card: Mapping[str, Any] | None = None) -> Path:
    """Make a folder that can be published."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(content)
    (folder / "card.json").write_text(json.dumps(card or {"measures": {"f1": 0.95}}))
    return folder
