"""Engraving: pages in SVG and PDF, the same every time, and failures that say so."""

from __future__ import annotations

import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from lxml import etree

from services.errors import NotationError
from services.music.engraving import engrave
from services.music.musicxml import write_musicxml
from services.music.notate import NotationOptions, notate
from tests.music.examples import march, waltz


def title_page() -> bytes:
    return write_musicxml(notate(waltz(), NotationOptions(title="Langsamer Walzer")))


def test_svg_stacks_all_pages() -> None:
    engraving = engrave(write_musicxml(notate(march(160))), pdf=False)
    root = etree.fromstring(engraving.svg)
    pages = root.findall("{http://www.w3.org/2000/svg}svg")
    assert len(pages) == engraving.pages > 1
    tops = [float(page.get("y", "0")) for page in pages]
    assert tops == sorted(set(tops))
    assert engraving.pdf == b""


def test_svg_names_no_music_font() -> None:
    svg = engrave(title_page(), pdf=False).svg.decode()
    assert "Leipzig" not in svg
    assert not re.search("[\ue000-\uf8ff]", svg)


def test_pdf_holds_the_title_as_text(tmp_path) -> None:
    program = shutil.which("pdftotext")
    if program is None:
        pytest.skip("pdftotext is not installed (Debian package poppler-utils)")
    path = tmp_path / "page.pdf"
    path.write_bytes(engrave(title_page(), svg=False).pdf)
    text = subprocess.run([program, str(path), "-"], capture_output=True, check=True).stdout.decode()
    assert "Langsamer Walzer" in text


def test_pdf_is_vector_and_the_same_every_time() -> None:
    first, second = engrave(title_page()), engrave(title_page())
    assert first == second
    assert b"/Subtype/Image" not in first.pdf.replace(b" ", b"")


def test_threads_engrave_at_the_same_time() -> None:
    documents = [write_musicxml(notate(piece)) for piece in (waltz(), march(), waltz(4))]
    alone = [engrave(document, pdf=False).svg for document in documents]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda document: engrave(document, pdf=False).svg, documents))
    assert together == alone


@pytest.mark.parametrize("document", [b"", b"not a score", b"\xff\xfe\x00", b"<score-partwise/>"])
def test_what_is_no_score_is_refused(document: bytes) -> None:
    with pytest.raises(NotationError, match="could not be engraved"):
        engrave(document)


def test_time_limit_is_kept_and_named() -> None:
    with pytest.raises(NotationError, match=r"limit of 0\.001 s"):
        engrave(title_page(), time_limit_s=0.001)


def test_the_engraver_is_not_told_our_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COPYIST_DATABASE_URL", "postgresql://user:password@host/copyist")
    run = subprocess.run
    told: list[dict[str, str]] = []

    def watched(*arguments: Any, **options: Any) -> Any:
        told.append(options["env"])
        return run(*arguments, **options)

    monkeypatch.setattr(subprocess, "run", watched)
    assert engrave(title_page(), pdf=False).pages == 1
    assert not any(name.startswith("COPYIST_") for name in told[0])
