"""Makes the small test sets that lie beside this file: `python -m pipelines.evaluation.gates.make_samples`.

A few of the held-out excerpts and lines, for machines whose cache holds none, and for tests. They are made
once and then kept: a test set that changes is another one.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

import soundfile

from pipelines.cache import cache_folder
from pipelines.evaluation.gates.fixed_sets import chosen
from pipelines.evaluation.gates.lines import SAMPLES as LINES
from pipelines.evaluation.gates.lines import held_out_line, page_stems
from pipelines.evaluation.gates.recordings import SAMPLES as RECORDINGS
from pipelines.evaluation.gates.recordings import held_out_excerpt
from pipelines.training.piano.clips import pieces as rendered_pieces
from services.amt.contract import SAMPLE_RATE_HZ

_HEADER: Final = "onset_s\toffset_s\tpitch\tvelocity"


def make_recordings(count: int) -> None:
    """Write excerpts, lossless, each with the table of its notes."""
    RECORDINGS.mkdir(parents=True, exist_ok=True)
    for path in chosen(rendered_pieces(validation=True), None)[-count:]:
        piece = held_out_excerpt(path)
        file = RECORDINGS / f"{piece.name}-{piece.slices['instrument']}.flac"
        soundfile.write(file, piece.content.audio, SAMPLE_RATE_HZ, subtype="PCM_16")
        rows = [
            "\t".join(f"{value:.4f}".rstrip("0").rstrip(".") for value in row) for row in piece.content.notes
        ]
        file.with_suffix(".tsv").write_text("\n".join([_HEADER, *rows]) + "\n")


def make_lines(count: int) -> None:
    """Write lines of music with all that is printed on them."""
    LINES.mkdir(parents=True, exist_ok=True)
    for stem in chosen(page_stems(cache_folder("pages", "validation")), None)[-count:]:
        piece = held_out_line(stem)
        page, file = piece.content.page, LINES / f"{piece.name}-{piece.slices['picture']}"
        page.save(file)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recordings", type=int, default=16)
    parser.add_argument("--lines", type=int, default=24)
    args = parser.parse_args()
    make_recordings(args.recordings)
    make_lines(args.lines)
    for folder in (RECORDINGS, LINES):
        files: list[Path] = list(folder.iterdir())
        size = sum(file.stat().st_size for file in files)
        print(f"{len(files)} files, {size / 2**20:.1f} MiB in {folder}")


if __name__ == "__main__":
    main()
