"""The transcription of a recording, from its bytes to notes and files, free of any protocol."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from services.amt import notation, profile
from services.amt.agreement import note_f1
from services.amt.decode import Recording, decode
from services.amt.notes import DecodingThresholds, find_notes
from services.amt.options import Options
from services.amt.piano import PianoModel
from services.errors import OverloadedError
from services.music.export import Format
from services.music.notate import NotationOptions
from services.music.notes import Note
from services.music.score import Key, Metre, Tempo
from services.runtime import outcomes
from services.runtime.models import CanaryFailedError, ServedVersion
from services.runtime.outcomes import Outcome
from services.runtime.processes import Processes
from services.runtime.profiles import Observation
from services.runtime.shadows import Copy, Shadows
from services.runtime.work import Progress, in_thread, timed, unheard


@dataclass(frozen=True, slots=True)
class Heard:
    """What was heard in a recording: the end of the first stage, and all that the second one needs.

    Attributes:
        version: which version of the model heard it.
        duration_s: length of the recording, in seconds.
        notes: by onset, then pitch.
        observation: what drift is watched by.
        timings_s: seconds that each part of the stage took, by its name.
    """

    version: str
    duration_s: float
    notes: tuple[Note, ...]
    observation: Observation
    timings_s: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Transcription:
    """A transcribed recording.

    Attributes:
        model, version: which model heard it.
        duration_s: length of the recording, in seconds.
        notes: by onset, then pitch.
        key, metre, tempo: what the notation found; None where there are no notes.
        files: the formats asked for.
        timings_s: seconds that each stage took, by its name.
    """

    model: str
    version: str
    duration_s: float
    notes: tuple[Note, ...]
    key: Key | None
    metre: Metre | None
    tempo: Tempo | None
    files: Mapping[Format, bytes]
    timings_s: Mapping[str, float]


class Transcriber:
    """Transcribes recordings, a limited number at once."""

    def __init__(
        self, piano: PianoModel, processes: Processes, *, max_audio_s: float, max_transcriptions: int
    ) -> None:
        self.piano = piano
        self._processes = processes
        self._max_audio_s = max_audio_s
        self._max_transcriptions = max_transcriptions
        self._running = 0
        self._shadows = Shadows()
        # One thread for each: a recording is in one stage at a time.
        self._threads = ThreadPoolExecutor(max_transcriptions, thread_name_prefix="transcription")

    def check_room(self) -> None:
        """Raise OverloadedError while as many recordings as allowed are being transcribed."""
        if self._running >= self._max_transcriptions:
            raise OverloadedError(
                f"{self._running} recordings are being transcribed, which is the limit "
                "(COPYIST_MAX_TRANSCRIPTIONS).",
                remedy="Try again in a few seconds.",
            )

    async def transcribe(
        self, source: BinaryIO, options: Options, *, request_id: str, version: str = "", title: str = ""
    ) -> Transcription:
        """Transcribe a recording: hear it, and write it down. Cancelling the call ends all of its work.

        Args:
            source: the file's bytes, seekable; it must stay open until this returns.
            options: what is asked for.
            request_id: chooses the version of the model.
            version: of the model that the caller insists on.
            title: what the score is called.

        Raises:
            CopyistError: of the kind that says who can do something about it.
        """
        self.check_room()
        self._running += 1
        try:
            # Asked first: without a model there is no use in decoding.
            chosen = await self.piano.choose(request_id, asked=version)
            heard = await self.hear(source, chosen, request_id=request_id)
            return await self.write(heard, options, title=title)
        finally:
            self._running -= 1

    async def hear(
        self, source: BinaryIO, version: ServedVersion, *, request_id: str, progress: Progress = unheard
    ) -> Heard:
        """Hear a recording: the first stage, with no limit on how many are in it.

        Args:
            source: the file's bytes, seekable; it must stay open until this returns.
            version: what is to hear it.
            request_id: chooses whether a version in the shadow gets a copy.
            progress: is told how much of it was heard.

        Raises:
            CopyistError: of the kind that says who can do something about it.
        """
        timings_s: dict[str, float] = {}
        cancelled = threading.Event()
        with timed(timings_s, "decode"):
            work = partial(decode, source, max_audio_s=self._max_audio_s, cancelled=cancelled.is_set)
            recording = await in_thread(self._threads, work, cancelled)
        with timed(timings_s, "model"):
            try:
                posteriors = await self.piano.posteriors(recording.samples, version, progress)
            except CanaryFailedError as failure:
                version = self.piano.instead_of(version, failure)
                posteriors = await self.piano.posteriors(recording.samples, version, progress)
        with timed(timings_s, "notes"):
            thresholds = DecodingThresholds.from_card(version.card)
            find = partial(_found, recording, posteriors, thresholds)
            notes, measured = await in_thread(self._threads, find, cancelled)
        await self._shadow(recording.samples, notes, request_id)
        return Heard(version.number, recording.duration_s, notes, measured, timings_s)

    async def _shadow(self, samples: NDArray[np.int16], notes: tuple[Note, ...], request_id: str) -> None:
        """Offer a copy of what was heard to the version in the shadow, if that is to have it."""
        shadow = await self.piano.shadowing(request_id)
        if shadow is None:
            return

        async def compare() -> float:
            posteriors = await self.piano.posteriors(samples, shadow)
            find = partial(find_notes, posteriors, DecodingThresholds.from_card(shadow.card))
            return note_f1(notes, await asyncio.to_thread(find))

        self._shadows.offer(Copy(self.piano.name, shadow.number, samples.nbytes, compare))

    async def write(self, heard: Heard, options: Options, *, title: str = "") -> Transcription:
        """Write down what was heard: the second stage, with no limit on how many are in it.

        Args:
            heard: what the first stage gave.
            options: what is asked for.
            title: what the score is called.

        Raises:
            CopyistError: of the kind that says who can do something about it.
        """
        asked_at = time.perf_counter()
        written = await self._processes.run(
            notation.write,
            heard.notes,
            NotationOptions(tempo_bpm=options.tempo_bpm, quantise=options.quantise, title=title),
            options.formats,
        )
        # The way there and back included; next to nothing unless others are before it.
        waited_s = time.perf_counter() - asked_at - written.notation_s - written.engraving_s
        timings_s = {**heard.timings_s, "notation": written.notation_s, "engraving": written.engraving_s}
        timings_s["queue"] = max(waited_s, 0.0)
        name, version = self.piano.name, heard.version
        outcomes.count(
            Outcome(name, version, heard.duration_s, len(heard.notes), timings_s, [heard.observation])
        )
        return Transcription(
            model=name,
            version=version,
            duration_s=heard.duration_s,
            notes=heard.notes,
            key=written.key,
            metre=written.metre,
            tempo=written.tempo,
            files=written.files,
            timings_s=timings_s,
        )

    async def close(self) -> None:
        """Give the threads back."""
        await self._shadows.close()
        self._threads.shutdown(wait=False, cancel_futures=True)


def _found(
    recording: Recording, posteriors: NDArray[np.uint8], thresholds: DecodingThresholds
) -> tuple[tuple[Note, ...], Observation]:
    notes = tuple(find_notes(posteriors, thresholds))
    return notes, profile.measure(recording, notes)
