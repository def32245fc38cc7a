"""Options are told apart by name, and what does not exist is refused with what does."""

from __future__ import annotations

import pytest

from services.errors import UnknownOptionError
from services.runtime.options import given, one_of, several_of

KNOWN = ("midi", "pdf")


def test_several_are_parsed_in_order_and_once() -> None:
    assert several_of(" PDF,midi , pdf,", KNOWN) == ("pdf", "midi")
    assert several_of("", KNOWN) == ()


@pytest.mark.parametrize(
    "refused",
    [
        lambda: several_of("midi,docx", KNOWN),
        lambda: one_of("kind", "docx", KNOWN),
        lambda: given({"docx": "1"}, KNOWN),
    ],
)
def test_what_does_not_exist_is_refused_with_what_does(refused) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UnknownOptionError) as caught:
        refused()
    assert "docx" in caught.value.detail
    assert "midi" in caught.value.remedy


def test_empty_texts_say_nothing() -> None:
    assert given({"midi": " ", "pdf": " 1 "}, KNOWN) == {"pdf": "1"}
