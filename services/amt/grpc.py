"""The audio service over gRPC: the model `amt` of the Open Inference Protocol."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from services.amt import answer
from services.amt.backend import Backend
from services.amt.options import OPTION_NAMES, Options
from services.music.export import Format
from services.runtime.inference import Recognised

NOTES: Final = "notes"
TRANSCRIPTION: Final = "transcription"


class AudioRecogniser:
    """Transcribes a file's bytes.

    Its outputs are the formats; `notes`, a JSON array; and `transcription`, the JSON answer of the HTTP
    API without files. What is wanted is said by the outputs asked for, so there is no option `formats`.
    """

    name = "amt"
    options: tuple[str, ...] = tuple(name for name in OPTION_NAMES if name != "formats")
    outputs: tuple[str, ...] = (*(kind.value for kind in Format), NOTES, TRANSCRIPTION)
    default_outputs: tuple[str, ...] = (Format.MIDI.value, Format.MUSICXML.value, NOTES)
    max_files = 1

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def versions(self) -> tuple[str, ...]:
        """List the versions of the model that answer requests, the stable one first."""
        return tuple(version.number for version in await self._backend.piano.serving())

    async def recognise(
        self,
        files: Sequence[bytes],
        options: Mapping[str, str],
        outputs: tuple[str, ...],
        request_id: str,
        version: str,
    ) -> Recognised:
        """Transcribe a recording."""
        formats = ",".join(name for name in outputs if name in set(Format))
        parsed = Options.parse({**options, "formats": formats})
        transcription = await self._backend.transcriber.transcribe(
            io.BytesIO(files[0]), parsed, request_id=request_id, version=version
        )
        results = {kind.value: file for kind, file in transcription.files.items()}
        if NOTES in outputs:
            results[NOTES] = await asyncio.to_thread(answer.notes_as_json, transcription.notes)
        if TRANSCRIPTION in outputs:
            without_files = replace(transcription, files={})
            write = partial(answer.as_json, without_files, request_id, "")
            results[TRANSCRIPTION] = await asyncio.to_thread(write)
        return Recognised(results, transcription.version)
