"""Makes a little of the traffic that reference profiles stand for: `python -m pipelines.release.traffic`.

Short recordings like those of `pipelines.release.profiles`, of other pieces, and the engraved pages that
pictures of such pages are taken of: few and small enough to lie in the repository. Tests send them to see
that ordinary traffic is no drift, and that changed traffic is.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.engraving.pages import EngravedPage
from pipelines.release.profiles import REFERENCE_PAGES, REFERENCE_RECORDINGS, page_stems, sounds
from services.amt.contract import SAMPLE_RATE_HZ

_LENGTHS_S: Final = (8.0, 12.0)
_BITS_A_SECOND: Final = 40_000


def write_recording(path: Path, sound: NDArray[np.float32]) -> None:
    """Write a mono sound at SAMPLE_RATE_HZ as Ogg Opus."""
    with av.open(str(path), "w", format="ogg") as file:
        stream = file.add_stream("libopus", rate=48_000, layout="mono")
        stream.bit_rate = _BITS_A_SECOND
        frame = av.AudioFrame.from_ndarray(sound[np.newaxis], format="flt", layout="mono")
        frame.sample_rate = SAMPLE_RATE_HZ
        for resampled in av.AudioResampler("flt", "mono", 48_000).resample(frame):
            file.mux(stream.encode(resampled))
        file.mux(stream.encode(None))


def write_page(path: Path, page: NDArray[np.uint8]) -> None:
    """Write an engraved page in 16 shades, which pictures of it do not show."""
    cv2.imwrite(str(path), (page // 16 * 17).astype(np.uint8), [cv2.IMWRITE_WEBP_QUALITY, 101])


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recordings", type=int, default=32)
    parser.add_argument("--pages", type=int, default=24)
    parser.add_argument("--out", type=Path, default=Path("tests/traffic"))
    args = parser.parse_args()
    folders = [args.out / name for name in ("recordings", "pages")]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    heard = sounds(REFERENCE_RECORDINGS, args.recordings, _LENGTHS_S)
    for number, sound in enumerate(heard, 1):
        write_recording(folders[0] / f"{number:02d}.ogg", sound)
    for number, stem in enumerate(page_stems()[REFERENCE_PAGES:][: args.pages], 1):
        write_page(folders[1] / f"{number:02d}.webp", EngravedPage.load(stem).image)
    files = [file for folder in folders for file in folder.iterdir()]
    print(f"{len(files)} files, {sum(file.stat().st_size for file in files) / 2**20:.1f} MiB in {args.out}")


if __name__ == "__main__":
    main()
