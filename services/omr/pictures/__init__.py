"""Pictures of clefs, and of the 8 under one, that pages are compared with.

They are means over many engravers' looks at 10 px a staff space, made by
`python -m pipelines.engraving.mean_pictures`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

FOLDER: Final = Path(__file__).parent
#: The clefs' pictures, and how far above a staff's middle line they begin, in px.
CLEFS_ABOVE_PX: Final = {"g-clef": 44, "f-clef": 26, "c-clef": 24}


@cache
def picture(name: str) -> NDArray[np.float32]:
    """Read a picture, float32 [height, width], 255 is paper; it is not to be changed."""
    read = cv2.imread(str(FOLDER / f"{name}.png"), cv2.IMREAD_GRAYSCALE)
    if read is None:
        raise FileNotFoundError(FOLDER / f"{name}.png")
    return read.astype(np.float32)


def likeness(image: NDArray[np.float32], sought: NDArray[np.float32]) -> float:
    """How much like a picture the likest place of an image is: normalised correlation, -1 to 1.

    Args:
        image: float32 [h, w].
        sought: float32; -1 is the answer where it is larger than the image.
    """
    if image.shape[0] < sought.shape[0] or image.shape[1] < sought.shape[1]:
        return -1.0
    found = cv2.matchTemplate(image, sought, cv2.TM_CCOEFF_NORMED)
    # Where nothing but paper is, the likeness to anything is undefined.
    return float(found[np.isfinite(found)].max(initial=-1.0))
