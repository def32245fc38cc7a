"""What callers show, and how it is told apart from what they do not."""

from __future__ import annotations

import pytest

from services.errors import UnauthenticatedError
from services.runtime.door.credentials import credential_of


@pytest.mark.parametrize(
    ("name", "value", "text", "is_key"),
    [
        ("authorization", "Bearer abc", "abc", False),
        ("authorization", "bearer   abc.def-_", "abc.def-_", False),
        ("x-api-key", "abc", "abc", True),
        ("x-api-key", " abc ", "abc", True),
    ],
)
def test_a_credential_is_found(name: str, value: str, text: str, is_key: bool) -> None:
    found = credential_of([("accept", "*/*"), (name, value)])
    assert found is not None
    assert (found.text, found.is_key) == (text, is_key)
    assert text not in repr(found)


def test_none_is_none() -> None:
    assert credential_of([("accept", "*/*")]) is None


@pytest.mark.parametrize(
    "headers",
    [
        [("authorization", "")],
        [("authorization", "Bearer")],
        [("authorization", "Bearer ")],
        [("authorization", "Basic dXNlcjpwYXNz")],
        [("authorization", "Bearer a b")],
        [("authorization", "Bearer a\nb")],
        [("authorization", "Bearer \xe9")],
        [("authorization", "Bearer " + "a" * 8192)],
        [("x-api-key", "")],
        [("x-api-key", "a" * 8193)],
        [("x-api-key", "a"), ("x-api-key", "a")],
        [("authorization", "Bearer a"), ("x-api-key", "a")],
        [("authorization", "Bearer a"), ("authorization", "Bearer a")],
    ],
)
def test_odd_ones_are_refused(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(UnauthenticatedError) as caught:
        credential_of(headers)
    assert caught.value.remedy
