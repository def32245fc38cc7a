"""Small pieces of music as performed notes, and strategies for arbitrary ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hypothesis import strategies as st

from services.music.notes import Note

BPM = 100.0
BEAT_S = 60 / BPM


def played(events: Iterable[tuple[float, float, int | Sequence[int]]], beat_s: float = BEAT_S) -> list[Note]:
    """Notes of (onset in beats, length in beats, pitch or pitches), a little detached."""
    notes = []
    for onset, length, pitches in events:
        for pitch in [pitches] if isinstance(pitches, int) else pitches:
            start = 0.5 + onset * beat_s
            loud = 80 if onset % 1 == 0 else 60
            notes.append(Note(start, start + 0.95 * length * beat_s, pitch, loud))
    return sorted(notes)


def waltz(bars: int = 8) -> list[Note]:
    """A waltz in G major: bass, two chords, and a melody of a half and a quarter note."""
    tonic, dominant = (43, (59, 62)), (50, (60, 66))
    events: list[tuple[float, float, int | Sequence[int]]] = []
    for bar in range(bars):
        bass, chord = dominant if bar % 4 in (1, 2) else tonic
        events += [(3 * bar, 1, bass), (3 * bar + 1, 1, chord), (3 * bar + 2, 1, chord)]
        events += [(3 * bar, 2, 74 if bar % 2 else 79), (3 * bar + 2, 1, 78 if bar % 2 else 76)]
    return played(events)


def march(bars: int = 8) -> list[Note]:
    """Common time in E-flat major: block chords on one and three, a melody of eighths and quarters."""
    events: list[tuple[float, float, int | Sequence[int]]] = []
    harmonies = [(39, (55, 58)), (44, (56, 60)), (46, (53, 62)), (39, (55, 58))]
    melody = [75, 74, 75, 79, 77, 75]
    for bar in range(bars):
        bass, chord = harmonies[bar % 4]
        events += [(4 * bar, 2, (bass, *chord)), (4 * bar + 2, 2, (bass - 5, *chord))]
        beats = [(0, 1), (1, 0.5), (1.5, 0.5), (2, 1), (3, 0.5), (3.5, 0.5)]
        events += [(4 * bar + at, length, pitch) for (at, length), pitch in zip(beats, melody, strict=True)]
    return played(events)


def any_notes(largest: int = 40) -> st.SearchStrategy[list[Note]]:
    """Arbitrary notes: any pitch of MIDI, overlapping, repeated, out of order."""
    note = st.builds(
        lambda onset, length, pitch, velocity: Note(onset, onset + length, pitch, velocity),
        st.floats(0, 30, allow_nan=False).map(lambda x: round(x, 4)),
        st.floats(0, 8, allow_nan=False).map(lambda x: round(x, 4)),
        st.integers(0, 127),
        st.integers(1, 127),
    )
    return st.lists(note, max_size=largest)
