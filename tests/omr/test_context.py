"""Candidates go to the context model staff by staff, each once, and its readings come back to them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from services.omr import contract
from services.omr.assembly.recognition import RecognisedPage
from services.omr.context import reread, windows_of
from services.omr.page import PreparedPage, Staff, Symbol, System
from services.omr.vocabulary import SymbolClass

ALIKE = (math.log(1 / 3),) * 3
STAVES_Y = (100.0, 200.0)


def symbol(x: float, y: float, kind: SymbolClass = SymbolClass.NOTEHEAD_BLACK, **named: float) -> Symbol:
    staff_y = min(STAVES_Y, key=lambda middle: abs(middle - y))
    values = {
        "confidence": 0.9,
        "width": 12.0,
        "height": 10.0,
        "grace": 0.0,
        "tied_back": 0.0,
        "tied_on": 0.0,
    }
    return Symbol(
        kind=kind,
        x=x,
        y=y,
        position=round((staff_y - y) / 5),
        position_confidence=0.9,
        durations=(math.log(1 / 7),) * 7,
        dots=ALIKE,
        stem=ALIKE,
        tuplet=ALIKE,
        **(values | named),
    )


def page_of(symbols: list[Symbol], right: float = 4000.0) -> RecognisedPage:
    staves = tuple(Staff(np.array([20.0, right]), np.array([y, y])) for y in STAVES_Y)
    corners = np.zeros((2, 2))
    page = PreparedPage(np.zeros((0, 0), np.uint8), (100, 100), 16.0, corners, corners)
    return RecognisedPage(page, (System(staves, ((0, 1),)),), tuple(symbols))


def keeping(tensors: np.ndarray) -> np.ndarray:
    """Readings that keep every candidate under its own class, and tell all other things apart."""
    readings = np.full((*tensors.shape[:2], contract.READING_FIELDS), -3.0, np.float32)
    readings[..., contract.KEEP] = 0.8
    readings[..., contract.NEW_CLASS] = tensors[..., contract.CLASS]
    return readings


def test_each_candidate_stands_in_reading_order_on_its_own_staff() -> None:
    symbols = [symbol(300, 95), symbol(100, 205), symbol(200, 100), symbol(200, 90)]
    windows, tensors = windows_of(page_of(symbols))
    assert [window.symbols for window in windows] == [(3, 2, 0), (1,)]
    assert tensors.shape == (2, contract.SEQUENCE, contract.CONTEXT_FIELDS)
    assert tensors[0, :3, contract.X].tolist() == pytest.approx([18, 18, 28])
    assert tensors[0, :3, contract.STEP_FROM_PREVIOUS].tolist() == pytest.approx([18, 0, 10])
    assert tensors[0, :3, contract.Y].tolist() == pytest.approx([2, 0, 1])
    assert tensors[..., contract.PRESENT].sum() == 4


def test_a_page_without_symbols_has_no_windows_to_read() -> None:
    _, tensors = windows_of(page_of([]))
    assert tensors.shape == (0, contract.SEQUENCE, contract.CONTEXT_FIELDS)


@pytest.mark.parametrize("count", [1, contract.SEQUENCE, contract.SEQUENCE + 1, 3 * contract.SEQUENCE])
def test_every_candidate_of_a_long_staff_is_read_once(count: int) -> None:
    symbols = [symbol(30.0 + 4 * index, 100) for index in range(count)]
    windows, tensors = windows_of(page_of(symbols, right=40.0 + 4 * count))
    taken = [index for window in windows for index in window.symbols[window.first : window.last]]
    assert taken == list(range(count))
    assert all(len(window.symbols) <= contract.SEQUENCE for window in windows)
    assert reread(symbols, windows, keeping(tensors)) != ()


def test_what_detector_and_staff_both_doubt_is_dropped_and_the_rest_are_told_their_voice() -> None:
    symbols = [symbol(100, 100, confidence=0.5), symbol(200, 100, confidence=0.5), symbol(300, 100)]
    windows, tensors = windows_of(page_of(symbols))
    readings = keeping(tensors)
    readings[0, [0, 2], contract.KEEP] = 0.1
    readings[0, 1, contract.VOICE] = [-5, -0.1, -5]
    doubted_by_none, sure = reread(symbols, windows, readings)
    assert (doubted_by_none.x, sure.x) == (200, 300)
    assert np.argmax(doubted_by_none.voice) == 1
    assert doubted_by_none.durations == symbols[1].durations


def test_symbols_on_no_staff_stay_as_they_are() -> None:
    lonely = symbol(100, 2000, confidence=0.3)
    windows, tensors = windows_of(page_of([lonely, symbol(100, 100, confidence=0.3)]))
    readings = keeping(tensors)
    readings[..., contract.KEEP] = 0.0
    assert reread([lonely, symbol(100, 100, confidence=0.3)], windows, readings) == (lonely,)


def test_a_barline_on_several_staves_stays_if_one_of_them_wants_it() -> None:
    bar = symbol(500, 150, SymbolClass.BARLINE_SINGLE, height=140.0, confidence=0.4)
    windows, tensors = windows_of(page_of([bar]))
    assert [window.symbols for window in windows] == [(0,), (0,)]
    readings = keeping(tensors)
    readings[0, 0, contract.KEEP] = 0.1
    assert len(reread([bar], windows, readings)) == 1
    readings[1, 0, contract.KEEP] = 0.1
    assert reread([bar], windows, readings) == ()
