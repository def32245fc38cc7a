"""Voices of one staff in one measure: placed events in order, with silence where nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from services.music.score import Chord, Event, NoteType, Rest, Tuplet, Voice, note_values

_FINEST = NoteType.HUNDRED_TWENTY_EIGHTH


@dataclass(frozen=True, slots=True)
class Written:
    """An event with the grace notes before it and the voice that was read for it."""

    voice: int
    event: Event
    graces: tuple[Chord, ...] = ()


def write_voices(written: Sequence[Written], staff: int, duration: Fraction) -> list[Voice]:
    """The voices of a staff in one measure; each lasts as long as the measure.

    Args:
        written: events that end within the measure, in any order.
        staff: its number in the part.
        duration: of the measure, in quarter notes.

    Returns:
        At least one voice. Events of one voice that overlap are parted into two.
    """
    lanes: dict[int, list[Written]] = {}
    for each in sorted(written, key=lambda w: (w.event.onset, w.voice, -w.event.duration)):
        number = each.voice
        while number in lanes and _end(lanes[number]) > each.event.onset:
            number = number + 1 if number >= each.voice else each.voice + 1
        lanes.setdefault(number, []).append(each)
    if not lanes:
        return [Voice(1, staff, (_whole_rest(duration),))]
    return [Voice(number, staff, _events(lanes[number], duration)) for number in sorted(lanes)]


def _end(lane: Sequence[Written]) -> Fraction:
    return lane[-1].event.onset + lane[-1].event.duration


def _whole_rest(duration: Fraction) -> Rest:
    return Rest(Fraction(0), duration, NoteType.WHOLE, whole_measure=True)


def _events(lane: Sequence[Written], duration: Fraction) -> tuple[Event, ...]:
    events: list[Event] = []
    now = Fraction(0)
    for each in lane:
        events += silence(now, each.event.onset - now)
        events += each.graces
        events.append(each.event)
        now = each.event.onset + each.event.duration
    events += silence(now, duration - now)
    return bracketed(events)


def silence(onset: Fraction, duration: Fraction) -> list[Rest]:
    """Invisible rests that fill a stretch of a voice."""
    rests: list[Rest] = []
    while duration > 0:
        tuplet = _tuplet_of(duration)
        scale = Fraction(tuplet.normal, tuplet.actual) if tuplet else Fraction(1)
        fitting = [value for value in note_values(dots=1) if value * scale <= duration]
        value = max(fitting, default=duration / scale)
        kind, dots = note_values(dots=1).get(value, (_FINEST, 0))
        rests.append(Rest(onset, value * scale, kind, dots, tuplet, visible=False))
        onset, duration = onset + value * scale, duration - value * scale
    return rests


def _tuplet_of(duration: Fraction) -> Tuplet | None:
    """The tuplet whose notes can fill a length that no plain values fill."""
    odd = duration.denominator
    while odd % 2 == 0:
        odd //= 2
    return Tuplet(odd, 1 << (odd.bit_length() - 1)) if odd > 1 else None


def bracketed(events: Sequence[Event]) -> tuple[Event, ...]:
    """Mark where tuplets open and close: where their notes together last plain values again."""
    marked = list(events)
    group: list[int] = []
    for i, event in enumerate(events):
        if isinstance(event, Chord) and event.grace:
            continue
        tuplet = event.tuplet
        if group and (tuplet is None or _ratio(events[group[0]].tuplet) != _ratio(tuplet)):
            _mark(marked, group)
            group = []
        if tuplet is None:
            continue
        group.append(i)
        total = sum((events[k].duration for k in group), Fraction(0))
        if len(group) > 1 and total.denominator & (total.denominator - 1) == 0:
            _mark(marked, group)
            group = []
    if group:
        _mark(marked, group)
    return tuple(marked)


def _ratio(tuplet: Tuplet | None) -> tuple[int, int] | None:
    return (tuplet.actual, tuplet.normal) if tuplet else None


def _mark(events: list[Event], group: Sequence[int]) -> None:
    for i in group:
        event = events[i]
        if event.tuplet is not None:
            tuplet = replace(event.tuplet, opens=i == group[0], closes=i == group[-1])
            events[i] = replace(event, tuplet=tuplet)
