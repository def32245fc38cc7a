"""What only a caller can meet: a service out of reach, or an answer that makes no sense.

Everything else that the client raises comes from the service as an RFC 9457 problem and is raised
here as the very class of `services.errors` that the service had raised.
"""

from __future__ import annotations

from services.errors import CopyistError


class UnreachableError(CopyistError):
    """No connection could be made, or it broke, or no answer came in time."""

    slug = "unreachable"
    title = "The service cannot be reached"
    status = 503


class JobCancelledError(CopyistError):
    """The job that was waited for was cancelled."""

    slug = "job-cancelled"
    title = "The job was cancelled"
    status = 409


class BadAnswerError(CopyistError):
    """The service answered something that the API does not promise: another program, or a cut-off answer."""

    slug = "bad-answer"
    title = "The answer cannot be understood"
    status = 502
