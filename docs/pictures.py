"""Draws the README's picture, from the demo's recording: `make pictures`.

On top the notes that were heard, below them the page that was engraved from these.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import typst

from services.client import Copyist, Transcription
from services.local.stack import LocalStack

SAMPLE = Path("services/client/samples/demo.flac")
OUT = Path("docs/images/demo.png")
#: Of the roll, in SVG units; a second is this wide, a semitone this high.
SECOND, SEMITONE = 24.0, 5.0
INK, HANDS = "#222222", ("#1f77b4", "#d95f02")

PAGE = """
#set page(width: 210mm, height: auto, margin: 8mm, fill: white)
#image("roll.svg", width: 100%)
#v(4mm)
#block(width: 100%, height: 92mm, clip: true)[
  #place(top + left, block(width: 100%, height: 400mm, align(top, image("score.svg", width: 100%))))
]
"""


def piano_roll(heard: Transcription) -> str:
    """The notes as an SVG picture: time to the right, pitch upwards, louder notes darker."""
    lowest = min(note.pitch for note in heard.notes) - 2
    highest = max(note.pitch for note in heard.notes) + 2
    width, height = heard.duration_s * SECOND, (highest - lowest) * SEMITONE
    shapes = [f'<rect width="{width}" height="{height}" fill="#f7f7f5"/>']
    beats = [beat * SECOND for beat in heard.tempo.beats_s] if heard.tempo else []
    shapes += [f'<line x1="{x:.1f}" x2="{x:.1f}" y2="{height}" stroke="#dddddd"/>' for x in beats]
    shapes += [
        f'<rect x="{note.onset_s * SECOND:.1f}" y="{(highest - note.pitch) * SEMITONE:.1f}" rx="1.5" '
        f'width="{max(2.0, (note.offset_s - note.onset_s) * SECOND - 1):.1f}" height="{SEMITONE}" '
        f'fill="{HANDS[note.pitch < 60]}" opacity="{0.35 + 0.65 * note.velocity / 127:.2f}"/>'
        for note in heard.notes
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}">{"".join(shapes)}</svg>'
    )


def main() -> None:
    """Transcribe the sample and draw it."""
    with LocalStack(report=print) as stack, Copyist(stack.http_url) as copyist:
        heard = copyist.transcribe(SAMPLE, formats=["svg"])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "roll.svg").write_text(piano_roll(heard))
        (folder / "score.svg").write_bytes(heard.file("svg").content)
        (folder / "page.typ").write_text(PAGE)
        OUT.parent.mkdir(parents=True, exist_ok=True)
        OUT.write_bytes(typst.compile(folder / "page.typ", format="png", ppi=110))
    print(f"{OUT}: {OUT.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
