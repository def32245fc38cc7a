"""What the service answers, as typed frozen values, and how its JSON becomes them."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

from services.client.errors import BadAnswerError
from services.client.files import write_whole
from services.errors import InputError
from services.music.notes import Note

_OVERLAY_SUFFIX: Final = re.compile(r"(-\d+)?\.overlay\.png$")


@dataclass(frozen=True, slots=True)
class Model:
    """A model of the service: its name, and the version of it that answered."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Key:
    """The key found.

    Attributes:
        fifths: sharps in the signature, or minus the flats, -7 to 7.
        mode: `major` or `minor`.
        name: the same in words, such as `E-flat major`.
        confidence: 0 to 1.
    """

    fifths: int
    mode: str
    name: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Metre:
    """The metre found, such as 3/4: `beats` over `beat_type`; `confidence` is 0 to 1."""

    beats: int
    beat_type: int
    confidence: float

    def __str__(self) -> str:
        return f"{self.beats}/{self.beat_type}"


@dataclass(frozen=True, slots=True)
class Tempo:
    """The tempo found: its mean in beats a minute, and the time of every beat in seconds."""

    bpm: float
    beats_s: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ScoreFile:
    """One file that was asked for.

    Attributes:
        name: the upload's stem and the format's suffix, such as `prelude.mid`.
        format: `midi`, `musicxml`, `pdf`, `svg`, `json`, `csv` or `overlay`.
        media_type: such as `audio/midi`.
        content: the file's bytes.
    """

    name: str
    format: str
    media_type: str
    content: bytes = field(repr=False)

    @property
    def suffix(self) -> str:
        """The name's suffix with its dot, such as `.mid`; of an overlay with the page's number before it."""
        return file_suffix(self.name)


@dataclass(frozen=True, slots=True)
class Answer:
    """What every answer holds.

    Attributes:
        id: the request's id, to quote when something is odd.
        model: the model and version that answered.
        timings_s: seconds that each stage took in the service, by the stage's name.
        files: the files asked for, in the order asked.
    """

    id: str
    model: Model
    timings_s: Mapping[str, float]
    files: tuple[ScoreFile, ...]

    def file(self, wanted: str, /) -> ScoreFile:
        """The file of one format.

        Raises:
            InputError: when that format was not asked for.
        """
        for file in self.files:
            if file.format == wanted:
                return file
        had = ", ".join(file.format for file in self.files) or "none"
        raise InputError(
            f"The answer holds no {wanted} file (it holds: {had}).",
            remedy=f'Ask for it: formats=["{wanted}"].',
        )

    def save(self, directory: str | Path, *, stem: str | None = None) -> tuple[Path, ...]:
        """Write the files into a folder, each whole or not at all, replacing what is there.

        Args:
            directory: where to; made if missing.
            stem: the names without suffix; by default the upload's own.

        Returns:
            The paths written, in the order of `files`.

        Raises:
            OSError: when something cannot be written.
        """
        # The name came over the network: its last part alone may say where on this disk to write.
        paths = tuple(
            Path(directory) / (f"{stem}{file.suffix}" if stem else PurePosixPath(file.name).name)
            for file in self.files
        )
        write_whole(zip(paths, (file.content for file in self.files), strict=True))
        return paths


@dataclass(frozen=True, slots=True)
class Transcription(Answer):
    """What was heard in one recording.

    Attributes:
        duration_s: the recording's length in seconds.
        notes: all notes, by onset, then pitch.
        key, metre, tempo: what the notation found; None where there was nothing to find it in.
    """

    duration_s: float
    notes: tuple[Note, ...]
    key: Key | None
    metre: Metre | None
    tempo: Tempo | None

    def __str__(self) -> str:
        facts = ["1 note" if len(self.notes) == 1 else f"{len(self.notes)} notes"]
        if self.key:
            facts.append(self.key.name)
        if self.metre:
            facts.append(str(self.metre))
        if self.tempo:
            facts.append(f"{self.tempo.bpm:.0f} bpm")
        return ", ".join(facts)


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the service can do its work just now, and in its own words why not."""

    ready: bool
    detail: str


def file_suffix(name: str) -> str:
    """The suffix with its dot, such as `.mid`; of an overlay with the page's number before it."""
    found = _OVERLAY_SUFFIX.search(name)
    return found[0] if found else PurePosixPath(name).suffix


def parse_transcription(answer: Mapping[str, Any]) -> Transcription:
    """Make the typed value of the JSON answer of `POST /v1/transcribe`.

    Raises:
        BadAnswerError: when the answer is not of the documented form.
    """
    try:
        return Transcription(
            **common(answer),
            duration_s=float(answer["duration_s"]),
            notes=tuple(_note(note) for note in answer["notes"]),
            key=parse_key(answer.get("key")),
            metre=parse_metre(answer.get("metre")),
            tempo=_tempo(answer.get("tempo")),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadAnswerError(
            f"The service's answer is not a transcription ({type(error).__name__}: {error}).",
            remedy="Check that the address is Copyist's and that client and service are of one version.",
        ) from error


def parse_models(answer: Any) -> tuple[Model, ...]:
    """Make typed values of the JSON answer of `GET /v1/models`, one for each version served.

    Raises:
        BadAnswerError: when the answer is not of the documented form.
    """
    try:
        return tuple(_model(model) for model in answer["models"])
    except (KeyError, TypeError, ValueError) as error:
        raise BadAnswerError(
            f"The service's answer is not a list of models ({type(error).__name__}: {error}).",
            remedy="Check that the address is Copyist's and that client and service are of one version.",
        ) from error


def common(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Make typed values of what every answer holds, as arguments of an `Answer`."""
    return {
        "id": str(answer["id"]),
        "model": _model(answer["model"]),
        "timings_s": {stage: float(seconds) for stage, seconds in answer["timings_s"].items()},
        "files": tuple(_file(file) for file in answer["files"]),
    }


def _model(value: Mapping[str, Any]) -> Model:
    return Model(name=str(value["name"]), version=str(value["version"]))


def _note(value: Mapping[str, Any]) -> Note:
    return Note(
        onset_s=float(value["onset_s"]),
        offset_s=float(value["offset_s"]),
        pitch=int(value["pitch"]),
        velocity=int(value["velocity"]),
        confidence=float(value["confidence"]),
    )


def parse_key(value: Mapping[str, Any] | None) -> Key | None:
    """Make the typed value of an answer's key."""
    if value is None:
        return None
    return Key(
        fifths=int(value["fifths"]),
        mode=str(value["mode"]),
        name=str(value["name"]),
        confidence=float(value["confidence"]),
    )


def parse_metre(value: Mapping[str, Any] | None) -> Metre | None:
    """Make the typed value of an answer's metre."""
    if value is None:
        return None
    return Metre(
        beats=int(value["beats"]),
        beat_type=int(value["beat_type"]),
        confidence=float(value["confidence"]),
    )


def _tempo(value: Mapping[str, Any] | None) -> Tempo | None:
    if value is None:
        return None
    return Tempo(bpm=float(value["bpm"]), beats_s=tuple(float(beat) for beat in value["beats_s"]))


def _file(value: Mapping[str, Any]) -> ScoreFile:
    return ScoreFile(
        name=str(value["name"]),
        format=str(value["format"]),
        media_type=str(value["media_type"]),
        content=_data_uri(str(value["href"])),
    )


def _data_uri(href: str) -> bytes:
    """The bytes of an RFC 2397 `data:` URI in base64, the form in which the service hands files over."""
    head, comma, body = href.partition(",")
    if not (head.startswith("data:") and head.endswith(";base64") and comma):
        raise ValueError(f"a file's href is no base64 data URI: {href[:40]!r}")
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise ValueError(f"a file's data URI is damaged: {error}") from error
