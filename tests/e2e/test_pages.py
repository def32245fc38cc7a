"""Pages through the whole stack: over HTTP and gRPC, by the client and by the command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import httpx
import music21
import numpy as np
import pytest
import tritonclient.grpc as triton
from music21.musicxml.m21ToXml import GeneralObjectExporter
from tritonclient.utils import InferenceServerException

from services.client import Copyist
from services.client.pages import Recognition
from services.local.stack import LocalStack
from services.music.engraver import draw_pages, set_pdf
from services.triton.environment import REPOSITORY_ROOT
from tests.client.command import copyist as command
from tests.waiting import wait_for

pytestmark = pytest.mark.stack

PAGE = REPOSITORY_ROOT / "services" / "client" / "samples" / "demo-page.png"
FORMATS = ("midi", "musicxml", "pdf", "svg", "json", "overlay")


@pytest.fixture(scope="module")
def client(stack: LocalStack) -> Iterator[Copyist]:
    with Copyist(pages_url=stack.omr_http_url) as made:
        yield made


@pytest.fixture(scope="module")
def seen(client: Copyist) -> Recognition:
    return client.recognize(PAGE, formats=FORMATS, explain=True)


def test_a_page_is_read_with_every_file(seen: Recognition) -> None:
    assert [file.format for file in seen.files] == list(FORMATS)
    (page,) = seen.pages
    assert [len(system.staves) for system in page.systems] == [3, 3, 3]
    assert len(seen.notes) >= 180
    assert seen.model.name == "symbols"
    assert seen.message == ""
    assert seen.decisions


def test_what_tenors_read_sounds_an_octave_lower(client: Copyist, tmp_path: Path) -> None:
    """Two staves of the same print but for the 8 under the lower one's clef."""
    score = music21.stream.Score()
    for clef_of in (music21.clef.TrebleClef, music21.clef.Treble8vbClef):
        part = music21.stream.Part([music21.stream.Measure(number=number) for number in range(1, 9)])
        part[0].append([clef_of(), music21.key.KeySignature(-3), music21.meter.TimeSignature("4/4")])
        for measure in part.getElementsByClass(music21.stream.Measure):
            octave = 4 if clef_of is music21.clef.TrebleClef else 3
            measure.append([music21.note.Note(f"{step}{octave}", quarterLength=1) for step in "GABF"])
        score.insert(0, part)
    musicxml = GeneralObjectExporter(score).parse().decode()
    page = tmp_path / "tenor.pdf"
    page.write_bytes(set_pdf(draw_pages(musicxml)))
    found = client.recognize(page)
    assert {(each.staff, each.octave) for each in found.notes} == {(1, 4), (2, 3)}
    assert len(found.notes) == 64


def test_boxes_lie_on_the_upload_and_notes_in_their_measures(seen: Recognition) -> None:
    (page,) = seen.pages
    for note in seen.notes:
        assert 0 <= note.box.x < note.box.x + note.box.width <= page.width
        assert 0 <= note.box.y < note.box.y + note.box.height <= page.height
    for symbol in page.symbols:
        assert 0 <= symbol.confidence <= 1


def test_files_are_what_they_are_called(seen: Recognition) -> None:
    starts = {"midi": b"MThd", "musicxml": b"<?xml", "pdf": b"%PDF", "overlay": b"\x89PNG"}
    for kind, start in starts.items():
        assert seen.file(kind).content.startswith(start)
    assert len(json.loads(seen.file("json").content)["notes"]) == len(seen.notes)


def test_files_in_page_order_make_one_piece(client: Copyist, seen: Recognition) -> None:
    both = client.recognize([PAGE, PAGE.read_bytes()], formats="overlay")
    assert [page.file for page in both.pages] == [0, 1]
    assert len(both.notes) == 2 * len(seen.notes)
    assert [file.name for file in both.files] == ["demo-page-1.overlay.png", "demo-page-2.overlay.png"]
    measures = {note.measure for note in both.notes}
    assert max(measures) + 1 == 2 * (max(note.measure for note in seen.notes) + 1)


def test_a_page_is_restored(client: Copyist) -> None:
    assert client.restore(PAGE).startswith(b"\x89PNG")


def test_the_models_name_their_versions(stack: LocalStack, seen: Recognition) -> None:
    listed = httpx.get(f"{stack.omr_http_url}/v1/models", timeout=60).json()["models"]
    assert (seen.model.name, seen.model.version) in {(each["name"], each["version"]) for each in listed}
    assert httpx.get(f"{stack.omr_http_url}/readyz", timeout=60).status_code == 200


def test_metrics_count_pages_and_stages(stack: LocalStack, seen: Recognition) -> None:
    def told() -> str:
        return httpx.get(f"{stack.omr_http_url}/metrics", timeout=60).text

    counted = 'copyist_requests_total{protocol="http",route="/v1/recognize",service="omr",status="200"}'
    wait_for(lambda: counted in told())  # just after the answer
    text = told()
    assert 'copyist_checks_total{check="staves_found",model="symbols",passed="yes"' in text
    for stage in seen.timings_s:
        assert f'stage="{stage}"' in text


def _file(*contents: bytes) -> triton.InferInput:
    tensor = triton.InferInput("file", [len(contents)], "BYTES")
    tensor.set_data_from_numpy(np.array(contents, object))
    return tensor


def test_grpc_reads_the_same(stack: LocalStack, seen: Recognition) -> None:
    outputs = [triton.InferRequestedOutput(name) for name in ("notes", "recognition", "midi")]
    with triton.InferenceServerClient(stack.omr_grpc_url) as client:
        found = client.infer("omr", [_file(PAGE.read_bytes())], outputs=outputs)
    told = json.loads(found.as_numpy("recognition")[0])
    assert len(told["notes"]) == len(seen.notes)
    assert json.loads(found.as_numpy("notes")[0]) == told["notes"]
    assert found.as_numpy("midi")[0].startswith(b"MThd")


def test_grpc_refuses_what_http_refuses(stack: LocalStack) -> None:
    with (
        triton.InferenceServerClient(stack.omr_grpc_url) as client,
        pytest.raises(InferenceServerException, match="plain text") as caught,
    ):
        client.infer("omr", [_file(b"no picture at all")])
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"


def test_the_command_merges_files_into_one_piece(stack: LocalStack, tmp_path: Path) -> None:
    for name in ("first.png", "second.png"):
        (tmp_path / name).write_bytes(PAGE.read_bytes())
    options = ("--merge", "-o", tmp_path / "out", "--format", "musicxml,overlay", "--url", stack.omr_http_url)
    done = command("recognize", tmp_path / "first.png", tmp_path / "second.png", *options)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "first-1.overlay.png",
        "first-2.overlay.png",
        "first.musicxml",
    ]
    assert "2 pages" in done.stdout


def test_the_command_tells_of_a_page_without_staves(stack: LocalStack, tmp_path: Path) -> None:
    blank = tmp_path / "blank.png"
    cv2.imwrite(str(blank), np.full((900, 700), 255, np.uint8))
    done = command("recognize", blank, "-o", tmp_path / "out", "--url", stack.omr_http_url)
    assert done.returncode == 0, done.stderr
    assert "no staves found" in done.stdout
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["blank.overlay.png"]
