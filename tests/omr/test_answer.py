"""What an answer says in words, and how it calls its files."""

from __future__ import annotations

import pytest

from services.omr.answer import message, page_names
from services.omr.assembly.recognition import Box, FoundPage, FoundSystem, Recognition
from services.omr.reader import Reading

SYSTEM = FoundSystem(Box(0, 0, 9, 9), (), ())


@pytest.mark.parametrize(
    ("systems", "said"),
    [
        ([1], ""),
        ([2, 1], ""),
        ([0], "No staves found."),
        ([0, 0], "No staves found."),
        ([1, 0], "No staves found on page 2."),
        ([0, 1, 0], "No staves found on pages 1, 3."),
    ],
)
def test_pages_without_staves_are_named(systems: list[int], said: str) -> None:
    pages = tuple(FoundPage((10, 10), (SYSTEM,) * count, ()) for count in systems)
    assert message(Reading("symbols", "1", None, (), Recognition(pages, (), None, ()), {}, {})) == said


def test_files_of_several_pages_are_numbered() -> None:
    assert page_names("waltz", ".overlay.png", 1) == ["waltz.overlay.png"]
    assert page_names("waltz", ".png", 2) == ["waltz-1.png", "waltz-2.png"]
