"""MIDI files that keep the performance and know the bars.

Notes keep their performed seconds; a tempo map, one tempo per beat, lays the score's beats and bars
over them, so that a sequencer shows the notes in their measures. One track for each staff.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import mido
import numpy as np
from numpy.typing import NDArray

from services.errors import NotationError
from services.music.notes import Note
from services.music.playback import play
from services.music.score import Key, Metre, Mode, Part, Score, name_at_fifths

_SLOWEST_US: Final = 2**24 - 1
"""The longest quarter note, in microseconds, that a tempo event's three bytes can hold."""

_FINEST_TICK_S: Final = 0.0005
_RESOLUTIONS: Final = (480, 960, 1920, 3840, 7680, 15360, 30720)
_SPLIT_PITCH: Final = 60
_MERGED_CHANNELS: Final = 16
_PERCUSSION_CHANNEL: Final = 9
_SHORTEST_BEAT_TYPE: Final = 64
_MOST_BEATS: Final = 255


@dataclass(frozen=True, slots=True)
class _TempoMap:
    """Ticks against seconds at every tempo event, first entry (0, 0.0).

    Attributes:
        ticks_per_quarter: resolution of the file.
        lead_in: quarter notes of silence before the score begins.
        ticks: int, shape (events,), strictly increasing.
        seconds: shape (events,), where those ticks really fall, given integer microseconds.
        tempi_us: microseconds per quarter from each event on, shape (events,).
    """

    ticks_per_quarter: int
    lead_in: Fraction
    ticks: NDArray[np.int64]
    seconds: NDArray[np.float64]
    tempi_us: NDArray[np.int64]

    def tick_at(self, times_s: NDArray[np.float64]) -> NDArray[np.int64]:
        """The nearest tick to each time in seconds; times before zero fall on tick 0."""
        index = np.clip(np.searchsorted(self.seconds, times_s, side="right") - 1, 0, None)
        past = (times_s - self.seconds[index]) * 1e6 / self.tempi_us[index]
        ticks = np.rint(self.ticks[index] + past * self.ticks_per_quarter).astype(np.int64)
        return np.maximum(ticks, 0)


def write_midi(notes: Sequence[Note], score: Score) -> bytes:
    """A standard MIDI file (format 1) of the notes as performed.

    Args:
        notes: the performed notes that `score` was made of, in the same order.
        score: gives beats, measures, key and the staff (hand) of each note.

    Returns:
        The file's bytes. Onsets and offsets are within 1 ms of the notes' seconds. A note that is
        struck again before it was released ends where it is struck again.

    Raises:
        NotationError: a pitch lies outside MIDI's 0 to 127.
    """
    if any(not 0 <= note.pitch <= 127 for note in notes):
        raise NotationError("A pitch lies outside MIDI's range of 0 to 127.", remedy="Leave such notes out.")
    return _write(score, _tracks(notes, score))


def write_score_midi(score: Score) -> bytes:
    """A standard MIDI file (format 1) of a score as it stands on the page; repeats are not played out.

    Raises:
        NotationError: a pitch lies outside MIDI's 0 to 127.
    """
    staves = play(score)
    if any(not 0 <= note.pitch <= 127 for notes in staves.values() for note in notes):
        raise NotationError("A pitch lies outside MIDI's range of 0 to 127.", remedy="Leave such notes out.")
    return _write(score, [(_track_name(score, *staff), notes) for staff, notes in staves.items()])


def _write(score: Score, tracks: Sequence[tuple[str, list[Note]]]) -> bytes:
    tempo_map = _tempo_map(score)
    file = mido.MidiFile(type=1, ticks_per_beat=tempo_map.ticks_per_quarter)
    file.tracks.append(_conductor_track(score, tempo_map))
    for channel, (name, members) in enumerate(tracks):
        file.tracks.append(_note_track(name, channel, members, tempo_map))
    out = io.BytesIO()
    file.save(file=out)
    return out.getvalue()


def _tempo_map(score: Score) -> _TempoMap:
    positions, seconds = _anchors(score)
    slowest_s = float(np.max(np.diff(seconds) / np.diff(positions), initial=60 / score.tempo.bpm))
    resolution = next((r for r in _RESOLUTIONS if slowest_s / r <= _FINEST_TICK_S), _RESOLUTIONS[-1])
    lead_in = Fraction(0)
    if seconds[0] > 0:
        measure = score.metre.measure_quarters
        measure_s = float(measure) * float(np.median(np.diff(seconds) / np.diff(positions)))
        lead_in = max(1, round(seconds[0] / measure_s)) * measure
        positions, seconds = np.append(-float(lead_in), positions), np.append(0.0, seconds)
    ticks = np.rint((positions - positions[0]) * resolution).astype(np.int64)
    reached = np.zeros(len(ticks))
    tempi = np.full(len(ticks), round(60e6 / score.tempo.bpm / float(score.tempo.unit)), np.int64)
    for i in range(len(ticks) - 1):
        quarters = (ticks[i + 1] - ticks[i]) / resolution
        # Against the time really reached, not the time meant: rounding must not add up.
        tempi[i] = np.clip(round((seconds[i + 1] - reached[i]) * 1e6 / quarters), 1, _SLOWEST_US)
        reached[i + 1] = reached[i] + quarters * tempi[i] / 1e6
    if len(tempi) > 1:
        tempi[-1] = tempi[-2]
    return _TempoMap(resolution, lead_in, ticks, reached, np.clip(tempi, 1, _SLOWEST_US))


def _anchors(score: Score) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Score positions (quarter notes) and their seconds, from position 0 at second 0 or later."""
    tempo = score.tempo
    beats = np.asarray(tempo.beats_s, np.float64)
    positions = float(tempo.start) + float(tempo.unit) * np.arange(len(beats))
    if len(beats) < 2:
        return np.zeros(1), np.zeros(1)
    start_s = float(np.interp(0.0, positions, beats))
    if start_s <= 0 or positions[0] > 0:
        start_s = 0.0
    later = (positions > 0) & (beats > start_s)
    return np.append(0.0, positions[later]), np.append(start_s, beats[later])


def _conductor_track(score: Score, tempo_map: _TempoMap) -> mido.MidiTrack:
    resolution = tempo_map.ticks_per_quarter
    events: list[tuple[int, mido.MetaMessage]] = [
        (int(tick), mido.MetaMessage("set_tempo", tempo=int(tempo)))
        for tick, tempo in zip(tempo_map.ticks, tempo_map.tempi_us, strict=True)
    ]
    events.append((0, mido.MetaMessage("key_signature", key=_key_text(score.key))))
    if tempo_map.lead_in:
        events.append((0, _time_signature(score.metre)))
    shown: Metre | None = score.metre if tempo_map.lead_in else None
    metre = score.metre
    for start, measure in zip(score.measure_starts(), score.parts[0].measures, strict=False):
        tick = round((tempo_map.lead_in + start) * resolution)
        metre = measure.metre or metre
        actual = _actual_metre(metre, measure.duration)
        if shown is None or (actual.beats, actual.beat_type) != (shown.beats, shown.beat_type):
            events.append((tick, _time_signature(actual)))
            shown = actual
        if measure.key is not None and start > 0:
            events.append((tick, mido.MetaMessage("key_signature", key=_key_text(measure.key))))
    track = mido.MidiTrack([mido.MetaMessage("track_name", name=_latin(score.title or "Copyist"))])
    return _append_in_order(track, events)


def _actual_metre(metre: Metre, quarters: Fraction) -> Metre:
    """The signature of a measure that really lasts so many quarter notes (a pickup is shorter)."""
    beat_type = metre.beat_type
    while (quarters * beat_type / 4).denominator != 1 and beat_type < _SHORTEST_BEAT_TYPE:
        beat_type *= 2
    # MIDI has one byte for the beats; a measure of more, which nobody prints, is told roughly.
    while quarters * beat_type / 4 > _MOST_BEATS and beat_type > 1:
        beat_type //= 2
    return Metre(min(max(1, round(quarters * beat_type / 4)), _MOST_BEATS), beat_type)


def _time_signature(metre: Metre) -> mido.MetaMessage:
    clocks = 36 if metre.is_compound else min(255, 96 // metre.beat_type)
    return mido.MetaMessage(
        "time_signature", numerator=metre.beats, denominator=metre.beat_type, clocks_per_click=clocks
    )


def _key_text(key: Key) -> str:
    minor = key.mode is Mode.MINOR
    step, alter = name_at_fifths(key.fifths + (3 if minor else 0))
    return step + {-1: "b", 0: "", 1: "#"}[alter] + ("m" if minor else "")


def _latin(text: str) -> str:
    return text.encode("latin-1", "replace").decode("latin-1")


def _tracks(notes: Sequence[Note], score: Score) -> list[tuple[str, list[Note]]]:
    """Track names and their notes, one track for each staff of each part."""
    place: dict[int, tuple[int, int]] = {}
    for number, part in enumerate(score.parts):
        _place_sources(part, number, place)
    tracks: dict[tuple[int, int], list[Note]] = {
        (number, staff): [] for number, part in enumerate(score.parts) for staff in range(1, part.staves + 1)
    }
    lowest = list(tracks)[-1]
    for index, note in enumerate(notes):
        by_pitch = (0, 1) if note.pitch >= _SPLIT_PITCH else lowest
        tracks[place.get(index, by_pitch)].append(note)
    return [(_track_name(score, *key), members) for key, members in tracks.items()]


def _place_sources(part: Part, number: int, place: dict[int, tuple[int, int]]) -> None:
    for measure in part.measures:
        for voice in measure.voices:
            for event in voice.events:
                for head in getattr(event, "heads", ()):
                    if head.source is not None:
                        place[head.source] = (number, voice.staff)


def _track_name(score: Score, number: int, staff: int) -> str:
    part = score.parts[number]
    if part.staves == 2:
        return f"{part.name}, {'right' if staff == 1 else 'left'} hand"
    return part.name


def _note_track(name: str, channel: int, notes: list[Note], tempo_map: _TempoMap) -> mido.MidiTrack:
    if channel >= _PERCUSSION_CHANNEL:
        channel = (channel + 1) % _MERGED_CHANNELS
    ordered = sorted(notes)
    onsets = tempo_map.tick_at(np.array([note.onset_s for note in ordered], np.float64))
    offsets = tempo_map.tick_at(np.array([note.offset_s for note in ordered], np.float64))
    offsets = np.maximum(offsets, onsets + 1)
    next_onset: dict[int, int] = {}
    events: list[tuple[int, mido.Message]] = []
    for i in range(len(ordered) - 1, -1, -1):
        pitch, onset = ordered[i].pitch, int(onsets[i])
        offset = min(int(offsets[i]), next_onset.get(pitch, int(offsets[i])))
        if offset <= onset:
            continue
        next_onset[pitch] = onset
        velocity = int(np.clip(ordered[i].velocity, 1, 127))
        events.append((onset, mido.Message("note_on", channel=channel, note=pitch, velocity=velocity)))
        events.append((offset, mido.Message("note_off", channel=channel, note=pitch, velocity=64)))
    track = mido.MidiTrack([mido.MetaMessage("track_name", name=_latin(name))])
    track.append(mido.Message("program_change", channel=channel, program=0))
    return _append_in_order(track, events)


def _append_in_order(track: mido.MidiTrack, events: Sequence[tuple[int, mido.Message]]) -> mido.MidiTrack:
    """Append events as delta times; at the same tick releases come before strikes."""
    now = 0
    for tick, message in sorted(events, key=lambda event: (event[0], event[1].type != "note_off")):
        track.append(message.copy(time=tick - now))
        now = tick
    return track
