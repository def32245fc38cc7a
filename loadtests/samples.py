"""What is sent: recordings and pages, short and long, cut from the samples that ship with the client."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import PIL.Image
import soundfile

SAMPLES: Final = Path(__file__).parent.parent / "services" / "client" / "samples"
SHORT_S: Final = 6.0
LONG_S: Final = 120.0
#: The sample page's upper system: three staves of five measures.
SHORT_PAGE_PX: Final = 700
LONG_PAGES: Final = 4


@dataclass(frozen=True, slots=True)
class File:
    """A file to be sent."""

    name: str
    content: bytes


def samples() -> Mapping[tuple[str, str], tuple[File, ...]]:
    """Make the files of each subject and length."""
    page = PIL.Image.open(SAMPLES / "demo-page.png")
    whole = File("page.png", _png(page))
    return {
        ("recording", "short"): (recording(SHORT_S),),
        ("recording", "long"): (recording(LONG_S),),
        ("page", "short"): (File("system.png", _png(page.crop((0, 0, page.width, SHORT_PAGE_PX)))),),
        ("page", "long"): (whole,) * LONG_PAGES,
    }


def recording(seconds: float, begin_s: float = 0.0) -> File:
    """The sample recording from `begin_s` on, repeated where it is shorter, as FLAC."""
    sound, rate = soundfile.read(SAMPLES / "demo.flac", dtype="int16")
    first, length = int(begin_s * rate), int(seconds * rate)
    repeated = np.concatenate([sound] * (-(-(first + length) // len(sound))))[first : first + length]
    buffer = io.BytesIO()
    soundfile.write(buffer, repeated, rate, format="FLAC")
    return File("recording.flac", buffer.getvalue())


def _png(picture: PIL.Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
