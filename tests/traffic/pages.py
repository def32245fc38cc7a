"""Pictures of pages as they are sent: scans and clean ones, or photographs by a telephone."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import cv2
import numpy as np

from pipelines.engraving.pages import MEASURE_FIELDS, STAFF_FIELDS, SYMBOL_FIELDS, EngravedPage
from pipelines.engraving.pictures import Means, ordinary_means, take_picture

FILES: Final = sorted((Path(__file__).parent / "pages").glob("*.webp"))
_SEED: Final = 12
#: Photographs are so far off that few of them tell.
_PHOTOGRAPHS: Final = 16


def ordinary() -> list[bytes]:
    """Held-out pages, half scanned, half clean, as the `symbols` model was released for: PNG files."""
    return [
        _picture(number, file, ordinary_means(np.random.default_rng([_SEED, number])), ".png")
        for number, file in enumerate(FILES)
    ]


def photographs() -> list[bytes]:
    """Some of the same pages, photographed by hand: JPEG files."""
    return [_picture(number, file, Means.PHOTO, ".jpg") for number, file in enumerate(FILES[:_PHOTOGRAPHS])]


def _picture(number: int, file: Path, means: Means, kind: str) -> bytes:
    engraved = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
    assert engraved is not None, file
    nothing_known = [np.zeros(0, fields) for fields in (SYMBOL_FIELDS, STAFF_FIELDS, MEASURE_FIELDS)]
    page = EngravedPage(np.asarray(engraved, np.uint8), *nothing_known)
    return cv2.imencode(kind, take_picture(page, means, np.random.default_rng([_SEED, number, 1])).image)[
        1
    ].tobytes()
