"""The values that the client writes out are the service's own."""

from __future__ import annotations

from services.client import vocabulary
from services.music import export, notate
from services.omr import options, palette


def test_formats_and_suffixes_are_the_services() -> None:
    assert vocabulary.FILE_SUFFIX == export.FILE_SUFFIX


def test_page_formats_suffixes_and_colours_are_the_services() -> None:
    assert vocabulary.PAGE_FILE_SUFFIX == options.FILE_SUFFIX
    assert tuple(palette.ColourBy) == vocabulary.COLOUR_BY


def test_grids_are_the_services() -> None:
    assert set(vocabulary.QUANTISE) == {str(grid) for grid in notate.Quantise}


def test_tempo_limits_are_the_services() -> None:
    assert (vocabulary.SLOWEST_BPM, vocabulary.FASTEST_BPM) == (notate.SLOWEST_BPM, notate.FASTEST_BPM)
