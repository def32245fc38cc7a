"""Values that are kept between the attempts at a job: read again exactly, or not at all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from services.runtime.jobs.kept import packed, unpacked


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True, slots=True)
class Inner:
    colours: tuple[Colour, ...]
    ends: tuple[tuple[int, int], ...]
    word: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Outer:
    inner: tuple[Inner, ...]
    curve: NDArray[np.float64]
    picture: NDArray[np.uint8]
    seconds: Mapping[str, float]
    whole: int
    part: float


@dataclass(frozen=True, slots=True)
class Narrower:
    inner: tuple[Inner, ...]


@dataclass(frozen=True, slots=True)
class Untold:
    things: NDArray[Any]


VALUE = Outer(
    inner=(Inner((Colour.RED, Colour.RED), ((0, 1), (2, 2)), None), Inner((), (), "Röslein \0 ]")),
    curve=np.random.default_rng(0).normal(size=(3, 4)).T[::2],
    picture=np.zeros((0, 0), np.uint8),
    seconds={"model": 0.1 + 0.2, "least": 5e-324},
    whole=2**60 + 1,
    part=-math.inf,
)


def test_every_value_comes_back_as_it_was() -> None:
    restored = unpacked(packed(VALUE, "test/1"), Outer, "test/1")
    assert isinstance(restored, Outer)
    for each in fields(Outer):
        before, after = getattr(VALUE, each.name), getattr(restored, each.name)
        if isinstance(before, np.ndarray):
            assert (after.dtype, after.shape) == (before.dtype, before.shape)
            assert after.tobytes() == before.tobytes()
            assert after.flags.writeable
        else:
            assert after == before
            assert type(after) is type(before)
    assert isinstance(restored.inner[0].colours[0], Colour)


def test_what_was_never_kept_is_not_there() -> None:
    assert unpacked(None, Outer, "test/1") is None


def test_another_form_is_not_read() -> None:
    assert unpacked(packed(VALUE, "test/1"), Outer, "test/2") is None


def test_values_whose_fields_have_changed_since_are_not_read() -> None:
    assert unpacked(packed(VALUE, "test/1"), Narrower, "test/1") is None, "one was taken away"
    narrow = packed(Narrower(VALUE.inner), "test/1")
    assert unpacked(narrow, Outer, "test/1") is None, "one came to it"
    assert unpacked(narrow, Narrower, "test/1") == Narrower(VALUE.inner)


@pytest.mark.parametrize("things", [np.array([object()]), np.array(["text"])])
def test_only_numbers_are_kept_in_arrays(things: NDArray[Any]) -> None:
    with pytest.raises(TypeError, match="cannot be kept"):
        packed(Untold(things), "test/1")
