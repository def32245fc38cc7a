"""Piano textures out of thin air: what songs and quartets lack, such as runs, tremolos and full chords.

Two hands play figures over a random chord progression, each hand choosing its figure anew every
few seconds; besides, stretches of plain random notes keep a model from leaning on harmony.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Rows = list[tuple[float, float, int, int]]
Figure = Callable[["_Hand", float, float], Rows]

MAJOR = (0, 2, 4, 5, 7, 9, 11)
MINOR = (0, 2, 3, 5, 7, 8, 10)


class _Hand:
    """One hand: the middle of its range, the scale it plays in, and its source of chance."""

    def __init__(self, random: np.random.Generator, part: int, centre: int) -> None:
        self.random = random
        self.part = part
        self.centre = centre
        self.scale = np.array(MAJOR if random.random() < 0.5 else MINOR)
        self.tonic = int(random.integers(12))

    def degree(self, step: int) -> int:
        """The MIDI pitch `step` scale steps above the tonic nearest the hand's centre."""
        base = self.centre - (self.centre - self.tonic) % 12
        return int(base + 12 * (step // 7) + self.scale[step % 7])

    def chord(self, size: int) -> list[int]:
        """`size` stacked pitches: mostly thirds of the scale, at times any pitches in reach."""
        root = int(self.random.integers(0, 7))
        if self.random.random() < 0.15:
            reach = np.arange(self.centre - 7, self.centre + 9)
            return sorted(int(p) for p in self.random.choice(reach, size, replace=False))
        tones = [self.degree(root + 2 * k) for k in range(size)]
        if size >= 3 and self.random.random() < 0.5:
            tones[-1] = tones[0] + 12
        return tones

    def note_length(self, shortest: float, longest: float) -> float:
        return float(np.exp(self.random.uniform(np.log(shortest), np.log(longest))))


def _chords(hand: _Hand, start: float, end: float) -> Rows:
    rows: Rows = []
    length, size = hand.note_length(0.12, 1.6), int(hand.random.integers(1, 6))
    time = start
    while time < end:
        step = length * float(hand.random.choice([0.5, 1, 1, 1, 2]))
        rows += [(time, time + step, pitch, hand.part) for pitch in hand.chord(size)]
        time += step
    return rows


def _repeated_chord(hand: _Hand, start: float, end: float) -> Rows:
    tones, step = hand.chord(int(hand.random.integers(1, 5))), hand.note_length(0.09, 0.35)
    times = np.arange(start, end, step)
    return [(t, t + step * 0.8, pitch, hand.part) for t in times for pitch in tones]


def _broken_chord(hand: _Hand, start: float, end: float) -> Rows:
    """Arpeggios and Alberti figures: an order of chord tones over one or more octaves."""
    rows: Rows = []
    step, hold = hand.note_length(0.05, 0.4), float(hand.random.choice([1.0, 1.0, 2.0, 4.0]))
    octaves = int(hand.random.integers(1, 4))
    time = start
    while time < end:
        tones = hand.chord(3)
        ladder = [tone + 12 * octave for octave in range(octaves) for tone in tones]
        shapes = [ladder, ladder[::-1], ladder + ladder[-2:0:-1], [ladder[i] for i in (0, 2, 1, 2)]]
        shape = shapes[int(hand.random.integers(len(shapes)))]
        for _ in range(int(hand.random.integers(1, 4))):
            for tone in shape:
                rows.append((time, time + step * hold, tone, hand.part))
                time += step
    return rows


def _scale(hand: _Hand, start: float, end: float) -> Rows:
    """Scales up and down, also chromatic, in thirds, sixths or octaves."""
    rows: Rows = []
    step = hand.note_length(0.045, 0.3)
    chromatic = hand.random.random() < 0.2
    double = int(hand.random.choice([0, 0, 0, 2, 5, 7]))
    position, direction, time = int(hand.random.integers(-7, 8)), 1, start
    while time < end:
        if hand.random.random() < 0.08 or abs(position) > 14:
            direction = -1 if position > 0 else 1
        tone = hand.centre + position if chromatic else hand.degree(position)
        rows.append((time, time + step * 0.95, tone, hand.part))
        if double:
            other = tone + double if chromatic else hand.degree(position + double)
            rows.append((time, time + step * 0.95, other, hand.part))
        position += direction
        time += step
    return rows


def _trill(hand: _Hand, start: float, end: float) -> Rows:
    """Trills, tremolos and octave tremolos."""
    step = hand.note_length(0.045, 0.15)
    low = hand.degree(int(hand.random.integers(0, 7)))
    other = low + int(hand.random.choice([1, 2, 2, 3, 4, 7, 12]))
    times = np.arange(start, end, step)
    return [(t, t + step * 0.9, (low, other)[k % 2], hand.part) for k, t in enumerate(times)]


def _melody(hand: _Hand, start: float, end: float) -> Rows:
    rows: Rows = []
    beat, octave = hand.note_length(0.18, 0.9), hand.random.random() < 0.3
    position, time = int(hand.random.integers(0, 7)), start
    while time < end:
        length = beat * float(hand.random.choice([0.25, 0.5, 0.5, 1, 1, 1.5, 2]))
        if hand.random.random() < 0.9:
            tone = hand.degree(position)
            rows.append((time, time + length, tone, hand.part))
            if octave:
                rows.append((time, time + length, tone + 12, hand.part))
        position = int(np.clip(position + hand.random.integers(-3, 4), -7, 14))
        time += length
    return rows


def _bass_and_chord(hand: _Hand, start: float, end: float) -> Rows:
    """Stride and waltz figures: a low note or octave, then chords above it."""
    rows: Rows = []
    beat, count = hand.note_length(0.18, 0.6), int(hand.random.choice([2, 2, 3, 4]))
    time = start
    while time < end:
        tones = hand.chord(3)
        bass = tones[0] - int(hand.random.choice([12, 12, 24]))
        rows.append((time, time + beat, bass, hand.part))
        if hand.random.random() < 0.5:
            rows.append((time, time + beat, bass - 12, hand.part))
        for k in range(1, count):
            rows += [(time + k * beat, time + (k + 0.7) * beat, tone, hand.part) for tone in tones]
        time += count * beat
    return rows


def _scatter(hand: _Hand, start: float, end: float) -> Rows:
    """Random notes over the whole keyboard, so that harmony alone cannot tell what sounds."""
    count = int((end - start) * hand.random.uniform(2, 14))
    onsets = np.sort(hand.random.uniform(start, end, count))
    return [
        (float(t), float(t + hand.note_length(0.08, 2.0)), int(hand.random.integers(21, 109)), hand.part)
        for t in onsets
    ]


def _rest(hand: _Hand, start: float, end: float) -> Rows:
    return []


FIGURES: tuple[tuple[Figure, float], ...] = (
    (_chords, 0.2),
    (_repeated_chord, 0.09),
    (_broken_chord, 0.2),
    (_scale, 0.12),
    (_trill, 0.06),
    (_melody, 0.15),
    (_bass_and_chord, 0.08),
    (_scatter, 0.06),
    (_rest, 0.04),
)


def improvise(random: np.random.Generator, length_s: float) -> np.ndarray:
    """A note table (see `pipelines.corpora.scores`) of two hands playing random figures."""
    rows: Rows = []
    shares = np.array([share for _, share in FIGURES])
    for part in (0, 1):
        time = 0.2
        while time < length_s:
            centre = int(random.integers(58, 92) if part == 0 else random.integers(30, 62))
            hand = _Hand(random, part, centre)
            end = min(length_s, time + random.uniform(1.5, 7.0))
            figure = FIGURES[int(random.choice(len(FIGURES), p=shares / shares.sum()))][0]
            rows += figure(hand, time, end)
            time = end + float(random.choice([0.0, 0.0, 0.3, 1.2], p=[0.5, 0.2, 0.2, 0.1]))
    return np.array(sorted(rows), np.float32).reshape(-1, 4)
