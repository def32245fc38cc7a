"""What a caller may ask of a transcription, parsed from text as it comes over the wire."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from services.errors import UnknownOptionError
from services.music.export import Format
from services.music.rhythm import Quantise
from services.runtime.options import given, one_of, several_of

OPTION_NAMES: Final = ("instrument", "formats", "tempo", "quantise")
INSTRUMENTS: Final = ("piano",)
SLOWEST_BPM: Final = 20.0
FASTEST_BPM: Final = 400.0


@dataclass(frozen=True, slots=True)
class Options:
    """The options of one transcription.

    Attributes:
        instrument: what plays; one of INSTRUMENTS.
        formats: the files wanted.
        tempo_bpm: beats a minute where the caller knows them; None to find them.
        quantise: the grid that notation is drawn on.
    """

    instrument: str = "piano"
    formats: tuple[Format, ...] = ()
    tempo_bpm: float | None = None
    quantise: Quantise = Quantise.AUTO

    @classmethod
    def parse(cls, texts: Mapping[str, str]) -> Options:
        """Read the options from texts by name; an empty text counts as absent.

        Raises:
            UnknownOptionError: a name or a value that does not exist.
        """
        said = given(texts, OPTION_NAMES)
        return cls(
            instrument=one_of("instrument", said.get("instrument", "piano"), INSTRUMENTS),
            formats=tuple(map(Format, several_of(said.get("formats", ""), tuple(Format)))),
            tempo_bpm=_bpm(said["tempo"]) if "tempo" in said else None,
            quantise=Quantise(
                one_of("quantise", said.get("quantise", "auto"), tuple(q.value for q in Quantise))
            ),
        )

    def texts(self) -> dict[str, str]:
        """Write the options as texts by name, always alike for the same options."""
        said = {
            "instrument": self.instrument,
            "formats": ",".join(self.formats),
            "tempo": "" if self.tempo_bpm is None else repr(self.tempo_bpm),
            "quantise": self.quantise.value,
        }
        return {name: text for name, text in said.items() if text}


def _bpm(text: str) -> float:
    try:
        bpm = float(text)
    except ValueError:
        bpm = math.nan
    if not SLOWEST_BPM <= bpm <= FASTEST_BPM:
        raise UnknownOptionError(
            f"tempo cannot be {text!r}.",
            remedy=f"Give beats a minute, a number from {SLOWEST_BPM:g} to {FASTEST_BPM:g}, "
            "or leave it out to have the tempo found.",
        )
    return bpm
