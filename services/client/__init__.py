"""The Python client of Copyist's public API, and the `copyist` command.

from services.client import Copyist

with Copyist() as copyist:
    print(copyist.transcribe("prelude.flac", formats=["midi"]).key)
"""

from services.client.client import AsyncCopyist, Copyist, Progress
from services.client.errors import BadAnswerError, UnreachableError
from services.client.results import (
    Key,
    Metre,
    Model,
    Readiness,
    ScoreFile,
    Tempo,
    Transcription,
)
from services.client.retry import RetryPolicy
from services.errors import (
    CopyistError,
    InputError,
    ModelError,
    ModelUnavailableError,
    OverloadedError,
    TooLargeError,
    UnknownOptionError,
    UnreadableMediaError,
)
from services.music.notes import Note

__all__ = [
    "AsyncCopyist",
    "BadAnswerError",
    "Copyist",
    "CopyistError",
    "InputError",
    "Key",
    "Metre",
    "Model",
    "ModelError",
    "ModelUnavailableError",
    "Note",
    "OverloadedError",
    "Progress",
    "Readiness",
    "RetryPolicy",
    "ScoreFile",
    "Tempo",
    "TooLargeError",
    "Transcription",
    "UnknownOptionError",
    "UnreachableError",
    "UnreadableMediaError",
]
