"""MusicXML: valid by the 4.0 schema, and read back note for note by other programs."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import warnings
from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from lxml import etree

from services.music.musicxml import write_musicxml
from services.music.notate import NotationOptions, notate
from services.music.notes import Note
from services.music.score import Score
from tests.music.examples import any_notes, march, played, waltz

XML_ATTRIBUTES = b"""<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"
    targetNamespace="http://www.w3.org/XML/1998/namespace">
  <xs:attribute name="lang" type="xs:language"/>
  <xs:attribute name="space" type="xs:NCName"/>
</xs:schema>"""

XLINK_ATTRIBUTES = b"""<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"
    targetNamespace="http://www.w3.org/1999/xlink">
  <xs:attribute name="href" type="xs:anyURI"/>
  <xs:attribute name="type" type="xs:string"/>
  <xs:attribute name="role" type="xs:string"/>
  <xs:attribute name="title" type="xs:string"/>
  <xs:attribute name="show" type="xs:string"/>
  <xs:attribute name="actuate" type="xs:string"/>
</xs:schema>"""


class LocalSchemas(etree.Resolver):
    """Serves the two small schemas that MusicXML's imports from the web."""

    def resolve(self, system_url, public_id, context):
        if system_url.endswith("/xml.xsd"):
            return self.resolve_string(XML_ATTRIBUTES, context)
        if system_url.endswith("/xlink.xsd"):
            return self.resolve_string(XLINK_ATTRIBUTES, context)
        return None


@pytest.fixture(scope="module")
def schema() -> etree.XMLSchema:
    """The W3C schema of MusicXML 4.0, which the `musicxml` package carries."""
    package = importlib.util.find_spec("musicxml")
    if package is None or not package.submodule_search_locations:
        pytest.skip("the package `musicxml`, which holds the 4.0 schema, is not installed")
    path = Path(package.submodule_search_locations[0]) / "generate_classes" / "musicxml_4_0.xsd"
    assert "Version 4.0" in path.read_text(encoding="utf-8")[:2000]
    parser = etree.XMLParser()
    parser.resolvers.add(LocalSchemas())
    return etree.XMLSchema(etree.parse(path, parser))


def rich_score() -> Score:
    """A score with two voices, ties, triplets, dots, a pickup, chords and accidentals."""
    events: list[tuple[float, float, int | tuple[int, ...]]] = [(-1.0, 1.0, 67)]
    for bar in range(6):
        events += [(4 * bar, 1.0, (29 + bar % 2 * 7, 41 + bar % 2 * 7))]
        events += [(4 * bar + beat, 1.0, (53, 57) if bar % 2 else (55, 58)) for beat in range(1, 4)]
        if bar % 2:
            events += [(4 * bar, 2.0, 79)]
            events += [(4 * bar + half / 2, 0.5, 70 + half) for half in range(1, 4)]
            events += [(4 * bar + 2 + third / 3, 1 / 3, 72 + 2 * third) for third in range(3)]
            events += [(4 * bar + 3, 0.75, (66, 73)), (4 * bar + 3.75, 1.25, 74)]
        else:
            events += [(4 * bar + 1, 1.0, 74), (4 * bar + 2, 1.5, 72)]
            events += [(4 * bar + 3.5, 0.5, 74)]
    notes = [Note(n.onset_s + 0.6, n.offset_s + 0.6, n.pitch, n.velocity) for n in played(events)]
    return notate(notes, NotationOptions(tempo_bpm=100, title="Études & <Übungen>"))


def sounding(score: Score) -> Counter[tuple[Fraction, Fraction, int]]:
    """Every written head: position and length in quarter notes, MIDI pitch."""
    return Counter(
        (position, chord.duration, head.pitch.midi)
        for position, _, chord in score.chords()
        for head in chord.heads
    )


def parsed(document: bytes) -> Counter[tuple[Fraction, Fraction, int]]:
    """The same, out of the document."""
    steps = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
    heads: Counter[tuple[Fraction, Fraction, int]] = Counter()
    divisions, start = 1, Fraction(0)
    for measure in etree.fromstring(document).iter("measure"):
        now = onset = longest = Fraction(0)
        for element in measure:
            divisions = int(element.findtext("divisions", str(divisions)))
            length = Fraction(int(element.findtext("duration", "0")), divisions)
            if element.tag == "backup":
                now -= length
            if element.tag != "note":
                continue
            if element.find("chord") is None:
                onset, now = now, now + length
            pitch = element.find("pitch")
            if pitch is not None:
                number = 12 * (int(pitch.findtext("octave", "")) + 1) + steps[pitch.findtext("step", "")]
                heads[start + onset, length, number + int(pitch.findtext("alter", "0"))] += 1
            longest = max(longest, now)
        start += longest
    return heads


@pytest.mark.parametrize("score", [notate([]), notate(waltz()), notate(march()), rich_score()])
def test_document_is_valid(schema: etree.XMLSchema, score: Score) -> None:
    schema.assertValid(etree.fromstring(write_musicxml(score)))


@settings(max_examples=40)
@given(notes=any_notes())
def test_any_notes_make_a_valid_document_that_parses_back(schema: etree.XMLSchema, notes: list[Note]) -> None:
    score = notate(notes)
    document = write_musicxml(score)
    schema.assertValid(etree.fromstring(document))
    assert parsed(document) == sounding(score)


def test_the_rich_score_is_rich() -> None:
    document = write_musicxml(rich_score()).decode()
    for element in ("<tuplet", "<tie ", "<dot/>", "<accidental>", "<chord/>", "<beam", "implicit"):
        assert element in document
    assert "Études &amp; &lt;Übungen&gt;" in document


def test_music21_reads_every_note() -> None:
    music21 = pytest.importorskip("music21")
    score = rich_score()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stream = music21.converter.parseData(write_musicxml(score).decode(), format="musicxml")
    read = Counter(
        (pitch.midi, Fraction(element.quarterLength))
        for element in stream.recurse().notes
        for pitch in element.pitches
    )
    assert read == Counter({(p, d): n for (p, d), n in _by_pitch(score).items()})
    assert {k.sharps for k in stream.recurse().getElementsByClass("KeySignature")} == {score.key.fifths}
    assert {t.ratioString for t in stream.recurse().getElementsByClass("TimeSignature")} == {
        f"{score.metre.beats}/{score.metre.beat_type}"
    }


def _by_pitch(score: Score) -> Counter[tuple[int, Fraction]]:
    counts: Counter[tuple[int, Fraction]] = Counter()
    for (_, duration, pitch), number in sounding(score).items():
        counts[pitch, duration] += number
    return counts


def test_verovio_reads_every_note() -> None:
    verovio = pytest.importorskip("verovio")
    verovio.enableLog(verovio.LOG_OFF)
    toolkit = verovio.toolkit()
    score = rich_score()
    assert toolkit.loadData(write_musicxml(score).decode())
    toolkit.renderToMIDI()
    tree = etree.fromstring(toolkit.getMEI().encode())
    found = tree.findall(".//{http://www.music-encoding.org/ns/mei}note")
    assert len(found) == sum(sounding(score).values())
    pitches = Counter(toolkit.getMIDIValuesForElement(n.get(_XML_ID)).get("pitch") for n in found)
    expected: Counter[int] = Counter()
    for (_, _, pitch), number in sounding(score).items():
        expected[pitch] += number
    assert pitches == expected


_XML_ID = "{http://www.w3.org/XML/1998/namespace}id"


def test_musescore_opens_it(tmp_path: Path) -> None:
    program = shutil.which("mscore3") or shutil.which("musescore3") or shutil.which("mscore")
    if program is None:
        pytest.skip("MuseScore is not installed (Debian package musescore3)")
    source, target = tmp_path / "in.musicxml", tmp_path / "out.musicxml"
    score = rich_score()
    source.write_bytes(write_musicxml(score))
    environment = {"QT_QPA_PLATFORM": "offscreen", "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    command = [program, "--force", "-o", str(target), str(source)]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=120, check=False)
    assert target.exists(), done.stderr.decode()
    assert parsed(target.read_bytes()) == sounding(score)
