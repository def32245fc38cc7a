"""Notation of performed notes: small musical examples with known answers."""

from __future__ import annotations

import pytest

from services.errors import NotationError, UnknownOptionError
from services.music.notate import NotationOptions, notate
from services.music.notes import Note


def test_no_notes_give_one_empty_measure() -> None:
    score = notate([])
    assert len(score.parts[0].measures) == 1
    assert list(score.chords()) == []


@pytest.mark.parametrize("bpm", [0.0, 19.9, 400.1, float("nan"), float("inf")])
def test_absurd_tempo_is_refused(bpm: float) -> None:
    with pytest.raises(UnknownOptionError, match="20 to 400"):
        NotationOptions(tempo_bpm=bpm)


def test_time_that_is_no_number_is_refused() -> None:
    with pytest.raises(NotationError, match="finite"):
        notate([Note(float("nan"), 1.0, 60, 64)])
