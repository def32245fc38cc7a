"""Rhythm: from printed events to onsets, durations and voices, for all staves of a system together."""

from services.omr.rhythm.reading import read_rhythm

__all__ = ["read_rhythm"]
