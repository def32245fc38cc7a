"""The options of a recognition: what they are by default, and what is refused."""

from __future__ import annotations

import pytest

from services.errors import UnknownOptionError
from services.omr.options import FILE_SUFFIX, MEDIA_TYPE, Options, PageFormat
from services.omr.palette import ColourBy


def test_nothing_said_is_no_files_coloured_by_pitch() -> None:
    assert Options.parse({}) == Options((), ColourBy.PITCH, explain=False)
    assert Options.parse({"formats": "", "explain": " "}) == Options()


def test_options_are_read_from_texts() -> None:
    parsed = Options.parse({"formats": "Overlay, midi", "colour_by": "STAFF", "explain": "1"})
    assert parsed == Options((PageFormat.OVERLAY, PageFormat.MIDI), ColourBy.STAFF, explain=True)


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ({"formats": "csv"}, "csv"),
        ({"colour_by": "mood"}, "mood"),
        ({"explain": "maybe"}, "maybe"),
        ({"tempo": "90"}, "tempo"),
    ],
)
def test_what_does_not_exist_is_refused_by_name(texts: dict[str, str], words: str) -> None:
    with pytest.raises(UnknownOptionError) as caught:
        Options.parse(texts)
    assert words in caught.value.detail
    assert caught.value.remedy


def test_every_format_has_a_suffix_and_a_media_type() -> None:
    assert set(FILE_SUFFIX) == set(MEDIA_TYPE) == set(PageFormat)
    assert len(set(FILE_SUFFIX.values())) == len(PageFormat)


@pytest.mark.parametrize(
    "texts", [{}, {"formats": "overlay, MIDI", "colour_by": "STAFF", "explain": "true"}, {"explain": "0"}]
)
def test_options_written_down_are_read_as_they_were(texts: dict[str, str]) -> None:
    options = Options.parse(texts)
    assert Options.parse(options.texts()) == options
    assert Options.parse(options.texts()).texts() == options.texts()
    assert all(options.texts().values())
