"""What a caller may ask of a transcription, parsed from text as it comes over the wire."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from services.errors import UnknownOptionError
from services.music.export import Format, parse_formats
from services.music.rhythm import Quantise

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
        for name in texts:
            if name not in OPTION_NAMES:
                raise UnknownOptionError(
                    f"There is no option {name!r}.", remedy=f"The options are: {', '.join(OPTION_NAMES)}."
                )
        given = {name: text.strip() for name, text in texts.items() if text.strip()}
        return cls(
            instrument=_one_of("instrument", given.get("instrument", "piano"), INSTRUMENTS),
            formats=parse_formats(given.get("formats", "")),
            tempo_bpm=_bpm(given["tempo"]) if "tempo" in given else None,
            quantise=Quantise(
                _one_of("quantise", given.get("quantise", "auto"), tuple(q.value for q in Quantise))
            ),
        )


def _one_of(name: str, text: str, known: tuple[str, ...]) -> str:
    if text.lower() not in known:
        raise UnknownOptionError(f"{name} cannot be {text!r}.", remedy=f"Choose one of: {', '.join(known)}.")
    return text.lower()


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
