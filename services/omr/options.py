"""What a caller may ask of a recognition, parsed from text as it comes over the wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from services.music.export import FILE_SUFFIX as SCORE_SUFFIX
from services.music.export import MEDIA_TYPE as SCORE_MEDIA_TYPE
from services.music.export import Format
from services.omr.palette import ColourBy
from services.runtime.options import given, one_of, several_of

OPTION_NAMES: Final = ("formats", "colour_by", "explain")


class PageFormat(StrEnum):
    """A file that can be made of pages; `overlay` is one for each page."""

    MIDI = "midi"
    MUSICXML = "musicxml"
    PDF = "pdf"
    SVG = "svg"
    JSON = "json"
    OVERLAY = "overlay"


_OF_SCORES: Final = tuple(kind for kind in Format if kind is not Format.CSV)
FILE_SUFFIX: Final = {
    **{PageFormat(kind.value): SCORE_SUFFIX[kind] for kind in _OF_SCORES},
    PageFormat.OVERLAY: ".overlay.png",
}
MEDIA_TYPE: Final = {
    **{PageFormat(kind.value): SCORE_MEDIA_TYPE[kind] for kind in _OF_SCORES},
    PageFormat.OVERLAY: "image/png",
}


@dataclass(frozen=True, slots=True)
class Options:
    """The options of one recognition.

    Attributes:
        formats: the files wanted.
        colour_by: what the colours of the overlay tell.
        explain: whether the answer tells what each step decided, and on what evidence.
    """

    formats: tuple[PageFormat, ...] = ()
    colour_by: ColourBy = ColourBy.PITCH
    explain: bool = False

    @classmethod
    def parse(cls, texts: Mapping[str, str]) -> Options:
        """Read the options from texts by name; an empty text counts as absent.

        Raises:
            UnknownOptionError: a name or a value that does not exist.
        """
        said = given(texts, OPTION_NAMES)
        return cls(
            formats=tuple(map(PageFormat, several_of(said.get("formats", ""), tuple(PageFormat)))),
            colour_by=ColourBy(
                one_of("colour_by", said.get("colour_by", ColourBy.PITCH), tuple(map(str, ColourBy)))
            ),
            explain=one_of("explain", said.get("explain", "0"), ("0", "1", "false", "true")) in ("1", "true"),
        )

    def texts(self) -> dict[str, str]:
        """Write the options as texts by name, always alike for the same options."""
        said = {
            "formats": ",".join(self.formats),
            "colour_by": self.colour_by.value,
            "explain": str(int(self.explain)),
        }
        return {name: text for name, text in said.items() if text}
