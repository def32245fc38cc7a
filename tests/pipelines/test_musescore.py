"""Pages by MuseScore: every symbol is where the ink is, and every note what the music says."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from pipelines.engraving import musescore
from pipelines.engraving.musescore import PROGRAM, engrave_with_musescore
from pipelines.engraving.musescore_drawing import read_drawing
from pipelines.engraving.pages import EngravedPage
from services.omr.vocabulary import CLASS_INDEX, STEM_DOWN, STEM_UP, SymbolClass

needs_musescore = pytest.mark.skipif(
    shutil.which(PROGRAM) is None, reason=f"{PROGRAM} (Debian) is not installed"
)


def note(
    step: str, octave: int, duration: int, kind: str, *, staff: int = 1, voice: int = 1, more: str = ""
) -> str:
    return (
        f"<note>{'<chord/>' if 'chord' in more else ''}<pitch><step>{step}</step><octave>{octave}</octave>"
        f"</pitch><duration>{duration}</duration><voice>{voice}</voice><type>{kind}</type>"
        f"{'<dot/>' if 'dot' in more else ''}<staff>{staff}</staff></note>"
    )


def rest(duration: int, kind: str, staff: int, voice: int) -> str:
    return (
        f"<note><rest/><duration>{duration}</duration><voice>{voice}</voice><type>{kind}</type>"
        f"<staff>{staff}</staff></note>"
    )


ATTRIBUTES = (
    "<attributes><divisions>4</divisions><key><fifths>-1</fifths></key><time><beats>4</beats>"
    "<beat-type>4</beat-type></time><staves>2</staves><clef number='1'><sign>G</sign><line>2</line></clef>"
    "<clef number='2'><sign>F</sign><line>4</line></clef></attributes>"
)
MEASURE = (
    note("C", 5, 6, "quarter", more="dot")
    + note("D", 5, 2, "eighth")
    + note("E", 5, 4, "quarter")
    + note("G", 5, 4, "quarter", more="chord")
    + rest(4, "quarter", 1, 1)
    + "<backup><duration>16</duration></backup>"
    + note("F", 3, 8, "half", staff=2, voice=5)
    + rest(8, "half", 2, 5)
)
END = '<barline location="right"><bar-style>light-heavy</bar-style></barline>'
MUSIC = (
    '<?xml version="1.0"?><score-partwise version="3.1"><part-list><score-part id="P1"><part-name>Piano'
    f'</part-name></score-part></part-list><part id="P1"><measure number="1">{ATTRIBUTES}{MEASURE}</measure>'
    f'<measure number="2">{MEASURE}{END}</measure></part></score-partwise>'
)


@pytest.fixture(scope="module")
def page() -> EngravedPage:
    (page,) = engrave_with_musescore([MUSIC])
    return page


def of_kind(page: EngravedPage, kind: SymbolClass) -> np.ndarray:
    return page.symbols[page.symbols["kind"] == CLASS_INDEX[kind]]


@needs_musescore
def test_notes_are_what_the_music_says(page: EngravedPage) -> None:
    black = np.sort(of_kind(page, SymbolClass.NOTEHEAD_BLACK), order=("measure", "onset", "diatonic"))
    assert black["diatonic"].tolist() == [35, 36, 37, 39] * 2
    assert black["onset"].tolist() == [0.0, 1.5, 2.0, 2.0] * 2
    assert black["length"].tolist() == [1.5, 0.5, 1.0, 1.0] * 2
    assert black["dots"].tolist() == [1, 0, 0, 0] * 2
    assert black["position"].tolist() == [1, 2, 3, 5] * 2
    assert set(black["stem"]) == {STEM_DOWN}
    assert black["chord"][2] == black["chord"][3] != black["chord"][1]
    half = of_kind(page, SymbolClass.NOTEHEAD_HALF)
    assert (half["staff"].tolist(), half["position"].tolist()) == ([1, 1], [2, 2])
    assert set(half["stem"]) <= {STEM_UP, STEM_DOWN}
    assert page.measures["duration"].tolist() == [4.0, 4.0]


@needs_musescore
def test_everything_printed_is_found(page: EngravedPage) -> None:
    counts = {
        SymbolClass.NOTEHEAD_BLACK: 8, SymbolClass.NOTEHEAD_HALF: 2, SymbolClass.REST_QUARTER: 2,
        SymbolClass.REST_HALF: 2, SymbolClass.FLAG_8TH: 2, SymbolClass.AUGMENTATION_DOT: 2,
        SymbolClass.STEM: 8, SymbolClass.G_CLEF: 1, SymbolClass.F_CLEF: 1, SymbolClass.FLAT: 2,
        SymbolClass.BRACE: 1, SymbolClass.BARLINE_SINGLE: 2, SymbolClass.BARLINE_FINAL: 2,
    }  # fmt: skip
    assert {kind: len(of_kind(page, kind)) for kind in counts} == counts
    assert page.staves["part"].tolist() == [0, 0]
    metre = len(of_kind(page, SymbolClass.TIME_4)) + len(of_kind(page, SymbolClass.TIME_COMMON))
    assert metre in (2, 4)


@needs_musescore
def test_boxes_are_where_the_ink_is(page: EngravedPage) -> None:
    for head in of_kind(page, SymbolClass.NOTEHEAD_BLACK):
        x, y = round(float(head["x"])), round(float(head["y"]))
        assert page.image[y - 2 : y + 3, x - 2 : x + 3].max() < 64
    for staff in page.staves:
        line = page.image[round(float(staff["y"])) - 1 : round(float(staff["y"])) + 2]
        assert (
            line[:, round(float(staff["left"])) + 10 : round(float(staff["right"])) - 10].min(0).max() < 160
        )


@needs_musescore
def test_a_page_that_is_not_the_music_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """The truth is taken of music with one note elsewhere: nothing may come of the page."""
    truth_of = musescore._truth
    monkeypatch.setattr(musescore, "_truth", lambda music: truth_of(music.replace("<step>D<", "<step>A<", 1)))
    assert list(engrave_with_musescore([MUSIC])) == []


def test_a_drawing_without_staves_is_refused() -> None:
    with pytest.raises(ValueError, match="without staves"):
        read_drawing(b'<svg xmlns="http://www.w3.org/2000/svg"><path class="Note" d="M0,0 L1,1"/></svg>')
