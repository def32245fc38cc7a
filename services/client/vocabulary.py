"""The values that the public API's options take, so that a slip is told before anything is sent.

They are written out here, and held against the service's own by a test, because the client stands
on the public API alone: the service's modules would bring numpy and an engraver with them.
"""

from __future__ import annotations

from typing import Final

#: Formats that can be asked for, with the suffix of the file that each becomes.
FILE_SUFFIX: Final = {
    "midi": ".mid",
    "musicxml": ".musicxml",
    "pdf": ".pdf",
    "svg": ".svg",
    "json": ".json",
    "csv": ".csv",
}

#: The same for pages; of an overlay there is one for each page.
PAGE_FILE_SUFFIX: Final = {
    "midi": ".mid",
    "musicxml": ".musicxml",
    "pdf": ".pdf",
    "svg": ".svg",
    "json": ".json",
    "overlay": ".overlay.png",
}

#: What the colours of an overlay can tell.
COLOUR_BY: Final = ("pitch", "staff", "duration", "confidence")

#: Finest note values that notation can be drawn with.
QUANTISE: Final = ("auto", "off", "1/8", "1/16", "1/32", "1/8t", "1/16t")

#: Beats a minute that a tempo can be.
SLOWEST_BPM: Final = 20.0
FASTEST_BPM: Final = 400.0

#: What a folder is searched for; a file named outright may have any name.
PAGE_SUFFIXES: Final = frozenset({".bmp", ".jpeg", ".jpg", ".pdf", ".png", ".tif", ".tiff", ".webp"})
AUDIO_SUFFIXES: Final = frozenset(
    {".aac", ".aif", ".aiff", ".flac", ".m4a", ".mka", ".mp3", ".mp4"}
    | {".oga", ".ogg", ".opus", ".wav", ".wave", ".webm"}
)
