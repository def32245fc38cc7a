"""Makes the demo's page: `python -m pipelines.engraving.demo_page`.

The first page of Schubert's "Heidenröslein" (OpenScore Lieder, CC0), engraved, and scanned askew. The work is
not among those that evaluation uses.
"""

from __future__ import annotations

import argparse
import re
import zipfile
from pathlib import Path

import cv2
import numpy as np
import verovio
from numpy.typing import NDArray

from pipelines.engraving.look import SPACE_AT_FULL_SCALE
from pipelines.engraving.pages import ENGRAVED_SPACE_PX
from pipelines.engraving.render import draw

SCORE = "lieder/lc30321236.mxl"
OUT = Path("services/client/samples/demo-page.png")
#: Staff spaces that the page is wide and high: A4 at a staff height of 7 mm.
WIDTH_SPACES, HEIGHT_SPACES = 118, 167
MARGIN_SPACES = 8
#: Staff space of the scan, in px: that of 200 dpi.
SPACE_PX = 14.0
ASKEW_DEGREES = 0.7
SEED = 7
SIDES = ("Left", "Right", "Top", "Bottom")


def make_sample(scores: Path, out: Path) -> None:
    """Engrave, scan and write the page: a PNG of about 200 dpi."""
    with zipfile.ZipFile(scores / SCORE) as archive:
        name = next(n for n in archive.namelist() if n.endswith("xml") and not n.startswith("META-INF"))
        # Verovio draws the note of a metronome mark in a font that text programs lack.
        music = re.sub(r"<metronome.*?</metronome>", "<words/>", archive.read(name).decode(), flags=re.S)
    look = {
        "pageWidth": int(WIDTH_SPACES * SPACE_AT_FULL_SCALE),
        "pageHeight": int(HEIGHT_SPACES * SPACE_AT_FULL_SCALE),
        **{f"pageMargin{side}": int(MARGIN_SPACES * SPACE_AT_FULL_SCALE) for side in SIDES},
        "header": "auto",
        "footer": "none",
        "breaks": "auto",
        "font": "Leland",
    }
    toolkit = verovio.toolkit()
    toolkit.setOptions({**look, "scale": 100 * ENGRAVED_SPACE_PX / SPACE_AT_FULL_SCALE})
    toolkit.loadData(music)
    scanned = scan(draw(toolkit.renderToSVG(1), "C059"), np.random.default_rng(SEED))
    out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(out), scanned, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    print(f"{out}: {scanned.shape[1]} by {scanned.shape[0]} px, {out.stat().st_size} bytes")


def scan(page: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """A page as a flatbed scanner sees it: askew, soft, on greyish paper, in 16 greys."""
    height, width = (round(side * SPACE_PX / ENGRAVED_SPACE_PX) for side in page.shape)
    turn = cv2.getRotationMatrix2D((page.shape[1] / 2, page.shape[0] / 2), ASKEW_DEGREES, 1.0)
    turn *= width / page.shape[1]
    ink = 1 - cv2.warpAffine(page, turn, (width, height), flags=cv2.INTER_AREA, borderValue=255) / 255.0
    ink = cv2.GaussianBlur(ink, (0, 0), 0.7)
    paper = 0.92 + cv2.GaussianBlur(random.normal(0, 3, ink.shape), (0, 0), 90)
    grey = paper - 0.82 * ink + random.normal(0, 0.006, ink.shape)
    return np.asarray(np.clip(np.round(grey * 15) * 17, 0, 255), np.uint8)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scores", type=Path, default=Path("../shared/data/scores"))
    args = parser.parse_args()
    make_sample(args.scores, OUT)


if __name__ == "__main__":
    main()
