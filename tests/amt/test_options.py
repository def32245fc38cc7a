"""Options as text."""

from __future__ import annotations

import pytest

from services.amt.options import Options
from services.errors import UnknownOptionError
from services.music.export import Format
from services.music.rhythm import Quantise


def test_options_are_read() -> None:
    texts = {"instrument": "Piano", "formats": "pdf, midi", "tempo": "96.5", "quantise": "1/8t"}
    assert Options.parse(texts) == Options("piano", (Format.PDF, Format.MIDI), 96.5, Quantise("1/8t"))


def test_empty_texts_count_as_absent() -> None:
    assert Options.parse({"formats": "", "tempo": " ", "quantise": "", "instrument": ""}) == Options()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("format", "midi"),
        ("formats", "docx"),
        ("instrument", "organ"),
        ("tempo", "presto"),
        ("tempo", "inf"),
        ("tempo", "nan"),
        ("tempo", "-60"),
        ("tempo", "19"),
        ("tempo", "401"),
        ("quantise", "1/64"),
    ],
)
def test_what_does_not_exist_is_named_with_what_does(name: str, text: str) -> None:
    with pytest.raises(UnknownOptionError) as caught:
        Options.parse({name: text})
    assert (text if name != "format" else name) in caught.value.detail
    assert caught.value.remedy


@pytest.mark.parametrize(
    "texts",
    [
        {},
        {"formats": "pdf, MIDI", "tempo": "96.50", "quantise": "1/8T"},
        {"instrument": " Piano ", "tempo": "1e2"},
    ],
)
def test_options_written_down_are_read_as_they_were(texts: dict[str, str]) -> None:
    options = Options.parse(texts)
    assert Options.parse(options.texts()) == options
    assert Options.parse(options.texts()).texts() == options.texts()
    assert all(options.texts().values())
