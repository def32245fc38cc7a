"""Models of a few bytes, as they are shipped and published."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from services.runtime.release import steps
from services.runtime.release.artefacts import Artefacts
from services.runtime.release.board import open_board
from services.runtime.release.manifest import Role
from services.runtime.release.serving import Releases


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


def releases(folder: Path, cards: Mapping[str, Mapping[str, Any]], role: Role) -> Releases:
    """Release version 2 of models beside their version 1, as canary or shadow of all requests.

    Args:
        folder: for all that it takes; the shipped models lie in its folder `shipped`.
        cards: of the version 2 of each model.
        role: of that version.
    """
    for model in cards:
        ship(folder / "shipped", model)
    artefacts = Artefacts(str(folder / "models"), folder / "shipped")
    board = open_board(str(folder / "release.json"))
    for model, card in cards.items():
        version = artefacts.publish(model, candidate(folder / f"{model}-2", card=card))
        step = steps.start_canary if role is Role.CANARY else steps.start_shadow
        shipped = artefacts.shipped(model)
        steps.apply(
            board, partial(step, model=model, version=version, share=1.0, shipped=shipped, by="a test")
        )
    return Releases(board, artefacts, tuple(cards))
