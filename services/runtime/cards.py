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
    try:
        card = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not JSON ({error}).", remedy="Write the card anew.") from None
    if not isinstance(card, dict):
        raise ModelError(f"{path} holds no JSON object.", remedy="Write the card anew.")
    return card
