"""Model cards as the service reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.errors import ModelError
from services.runtime.cards import read_card


def _repository(tmp_path: Path, card: str) -> Path:
    (tmp_path / "piano").mkdir()
    (tmp_path / "piano" / "card.json").write_text(card)
    return tmp_path


def test_a_card_is_read(tmp_path: Path) -> None:
    assert read_card(_repository(tmp_path, '{"sha256": "ab"}'), "piano") == {"sha256": "ab"}


def test_no_card_is_an_empty_one(tmp_path: Path) -> None:
    assert read_card(tmp_path, "piano") == {}


@pytest.mark.parametrize("card", ["{", "[1, 2]", ""])
def test_a_broken_card_is_named(tmp_path: Path, card: str) -> None:
    with pytest.raises(ModelError, match=r"card\.json"):
        read_card(_repository(tmp_path, card), "piano")
