"""The note: the one value that every part of Copyist exchanges."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Note:
    """One performed note.

    Attributes:
        onset_s: when it starts, in seconds from the start of the recording.
        offset_s: when it stops sounding (the damper falls), in seconds; after `onset_s`.
        pitch: MIDI number, 21 (A0) to 108 (C8) on a piano; 60 is middle C.
        velocity: how hard it was struck, 1 to 127, as in MIDI.
        confidence: how sure the recogniser is, 0 to 1.
    """

    onset_s: float
    offset_s: float
    pitch: int
    velocity: int
    confidence: float = 1.0
