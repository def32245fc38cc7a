"""How mutants are made, and those that once did harm."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import zlib
from contextlib import suppress
from pathlib import Path

import pytest

from services.amt.decode import decode
from services.errors import CopyistError
from services.omr.steps import made_ready
from services.omr.uploads import PageLimits, find_pages, read_page
from services.triton.environment import REPOSITORY_ROOT
from tests.fuzz.mutants import mutant
from tests.fuzz.seeds import AUDIO_FORMATS, FORMATS, seeds
from tests.fuzz.structure import joined, ogg_checksum, parts_of, png_chunk


@pytest.mark.parametrize("kind", FORMATS)
def test_files_come_apart_and_together(kind: str) -> None:
    for whole in seeds(kind):
        parts = parts_of(kind, whole)
        assert b"".join(parts) == whole
        assert len(parts) > 1
        # Of a PDF the table of its objects is written anew.
        assert joined(kind, parts) == whole or kind == "pdf"


@pytest.mark.parametrize("kind", FORMATS)
def test_the_same_seed_gives_the_same_mutants_and_another_gives_others(kind: str) -> None:
    mutants = [mutant(kind, number, seed=1) for number in range(50)]
    assert mutants == [mutant(kind, number, seed=1) for number in range(50)]
    assert mutants != [mutant(kind, number, seed=2) for number in range(50)]
    assert len({each.content for each in mutants} - set(seeds(kind))) > 40


def test_another_process_makes_the_same_files() -> None:
    script = (
        "import hashlib\nfrom tests.fuzz.seeds import FORMATS, seeds\n"
        "print(*(hashlib.sha256(whole).hexdigest() for kind in FORMATS for whole in seeds(kind)))"
    )
    other = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=REPOSITORY_ROOT
    )
    own = [hashlib.sha256(whole).hexdigest() for kind in FORMATS for whole in seeds(kind)]
    assert other.stdout.split() == own


def test_a_changed_piece_has_the_right_checksum() -> None:
    parts = parts_of("png", seeds("png")[0])
    parts[1] = parts[1][:8] + b"\0\0\0\7" + parts[1][12:]
    png = joined("png", parts)
    assert png[8:33] == png_chunk(b"IHDR", png[16:29])
    assert zlib.crc32(png[12:29]) == int.from_bytes(png[29:33], "big")
    parts = parts_of("opus", seeds("opus")[0])
    assert all(
        ogg_checksum(part[:22] + bytes(4) + part[26:]) == int.from_bytes(part[22:26], "little")
        for part in parts
    )


@pytest.mark.parametrize(
    ("kind", "number", "seed"),
    [
        ("ogg", 2167, 1),  # a second stream begins in the midst of the file: IndexError at the end
        ("jpg", 1046, 0),  # damage that looks like one huge staff: the page becomes too narrow for a comb
        ("png", 660, 1),  # 64 px wide and very high, without staves: bent, it would have been 8742 px wide
    ],
)
def test_what_once_did_harm(kind: str, number: int, seed: int, tmp_path: Path) -> None:
    content = mutant(kind, number, seed=seed).content
    with suppress(CopyistError):
        if kind in AUDIO_FORMATS:
            decode(io.BytesIO(content), max_audio_s=60)
            return
        file = tmp_path / "page"
        file.write_bytes(content)
        for place in find_pages([file], PageLimits()):
            page, _ = made_ready(read_page(place))
            assert page.image.size < 24_000_000  # more has no staves, and takes minutes
