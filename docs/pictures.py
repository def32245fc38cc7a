"""Draws the README's pictures, from the demo's recording and page: `make pictures`.

Of the recording on top the notes that were heard, below them the page that was engraved from these; the page
with its notes coloured by pitch.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import numpy as np
import typst

from services.client import Copyist, Transcription
from services.local.stack import LocalStack

SAMPLE = Path("services/client/samples/demo.flac")
OUT = Path("docs/images/demo.png")
PAGE_SAMPLE = Path("services/client/samples/demo-page.png")
PAGE_OUT = Path("docs/images/page.jpg")
#: What is shown of the page: the upper part of it, this wide.
PAGE_PART, PAGE_WIDTH_PX = 0.56, 1000
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


def upper_part(overlay: bytes) -> bytes:
    """The upper part of a coloured page, reduced: PNG to JPEG."""
    page = cv2.imdecode(np.frombuffer(overlay, np.uint8), cv2.IMREAD_COLOR)
    part = page[: round(PAGE_PART * len(page))]
    scale = PAGE_WIDTH_PX / part.shape[1]
    reduced = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", reduced)[1].tobytes()


def main() -> None:
    """Have the samples transcribed and read, and draw what comes of them."""
    with (
        LocalStack(report=print) as stack,
        Copyist(stack.http_url, pages_url=stack.omr_http_url) as copyist,
    ):
        heard = copyist.transcribe(SAMPLE, formats=["svg"])
        seen = copyist.recognize(PAGE_SAMPLE, formats=["overlay"])
    PAGE_OUT.write_bytes(upper_part(seen.file("overlay").content))
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
