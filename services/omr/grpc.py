"""The page service over gRPC: the model `omr` of the Open Inference Protocol."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from services.omr import answer
from services.omr.backend import Backend
from services.omr.document import write_notes
from services.omr.options import OPTION_NAMES, Options, PageFormat
from services.runtime.answers import AnswerFile, zipped
from services.runtime.inference import Recognised

NOTES: Final = "notes"
RECOGNITION: Final = "recognition"
_FILES: Final = tuple(kind.value for kind in PageFormat)


class PageRecogniser:
    """Reads the pages that the bytes of one or more files hold.

    Its outputs are the formats; `notes`, a JSON array; and `recognition`, the JSON answer of the HTTP API
    without files. What is wanted is said by the outputs asked for, so there is no option `formats`. A format
    that cannot be made, because there are no staves, is empty; `overlay` of several pages is a zip of them.
    """

    name = "omr"
    options: tuple[str, ...] = tuple(name for name in OPTION_NAMES if name != "formats")
    outputs: tuple[str, ...] = (*_FILES, NOTES, RECOGNITION)
    default_outputs: tuple[str, ...] = (PageFormat.MIDI.value, PageFormat.MUSICXML.value, NOTES)

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.max_files = backend.settings.max_pages

    async def versions(self) -> tuple[str, ...]:
        """List the versions of the model `symbols` that answer requests, the stable one first."""
        return tuple(version.number for version in await self._backend.symbols.serving())

    async def recognise(
        self,
        files: Sequence[bytes],
        options: Mapping[str, str],
        outputs: tuple[str, ...],
        request_id: str,
        version: str,
    ) -> Recognised:
        """Recognise pages."""
        formats = ",".join(name for name in outputs if name in _FILES)
        parsed = Options.parse({**options, "formats": formats})
        sources = [io.BytesIO(content) for content in files]
        reading = await self._backend.reader.read(sources, parsed, request_id=request_id, version=version)
        results = {name: b"" for name in outputs if name in _FILES}
        results |= {kind.value: _one(contents) for kind, contents in reading.files.items()}
        if NOTES in outputs:
            results[NOTES] = await asyncio.to_thread(write_notes, reading.recognition.notes)
        if RECOGNITION in outputs:
            without_files = replace(reading, files={})
            write = partial(answer.as_json, without_files, request_id, "", explain=parsed.explain)
            results[RECOGNITION] = await asyncio.to_thread(write)
        return Recognised(results, reading.version)


def _one(contents: tuple[bytes, ...]) -> bytes:
    if len(contents) == 1:
        return contents[0]
    names = answer.page_names("page", ".png", len(contents))
    return zipped([AnswerFile(name, "png", "image/png", c) for name, c in zip(names, contents, strict=True)])
