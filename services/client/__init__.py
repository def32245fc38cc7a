"""The Python client of Copyist's public API, and the `copyist` command.

from services.client import Copyist

with Copyist() as copyist:
    print(copyist.transcribe("prelude.flac", formats=["midi"]).key)
"""

from services.client.async_client import AsyncCopyist
from services.client.client import Copyist
from services.client.errors import BadAnswerError, JobCancelledError, UnreachableError
from services.client.handles import AsyncJobHandle, JobHandle
from services.client.jobs import Job, JobFile, JobState, Service
from services.client.progress import Progress
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
    DatabaseUnavailableError,
    ForbiddenError,
    InputError,
    ModelError,
    ModelUnavailableError,
    OverloadedError,
    RateLimitedError,
    StorageUnavailableError,
    TooLargeError,
    UnauthenticatedError,
    UnknownOptionError,
    UnreadableMediaError,
    UploadTooSlowError,
)
from services.music.notes import Note

__all__ = [
    "AsyncCopyist",
    "AsyncJobHandle",
    "BadAnswerError",
    "Copyist",
    "CopyistError",
    "DatabaseUnavailableError",
    "ForbiddenError",
    "InputError",
    "Job",
    "JobCancelledError",
    "JobFile",
    "JobHandle",
    "JobState",
    "Key",
    "Metre",
    "Model",
    "ModelError",
    "ModelUnavailableError",
    "Note",
    "OverloadedError",
    "Progress",
    "RateLimitedError",
    "Readiness",
    "RetryPolicy",
    "ScoreFile",
    "Service",
    "StorageUnavailableError",
    "Tempo",
    "TooLargeError",
    "Transcription",
    "UnauthenticatedError",
    "UnknownOptionError",
    "UnreachableError",
    "UnreadableMediaError",
    "UploadTooSlowError",
]
