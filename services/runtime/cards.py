"""Model cards: what a model is, was trained on, and reached; `card.json` in its repository folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.errors import ModelError


def read_card(model_repository: Path, model: str) -> Mapping[str, Any]:
    """Read a model's card; empty where the repository holds none.

    Raises:
        ModelError: the card is not a JSON object.
    """
    path = model_repository / model / "card.json"
    if not path.exists():
        return {}
    return parse_card(path.read_bytes(), str(path))


def parse_card(content: bytes, name: str) -> Mapping[str, Any]:
    """Read a model's card of its bytes; `name` is what errors call it.

    Raises:
        ModelError: it is not a JSON object.
    """
    try:
        card = json.loads(content)
    except ValueError as error:
        raise ModelError(f"{name} is not JSON ({error}).", remedy="Write the card anew.") from None
    if not isinstance(card, dict):
        raise ModelError(f"{name} holds no JSON object.", remedy="Write the card anew.")
    return card
