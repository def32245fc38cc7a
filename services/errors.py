"""The one exception tree: everything Copyist raises on purpose derives from CopyistError.

An error says what is wrong (`detail`) and what to do about it (`remedy`). How it is shown is the
business of the edge: HTTP makes an RFC 9457 problem of it, gRPC a status, the command a line.
"""

from __future__ import annotations


class CopyistError(Exception):
    """Base of all of Copyist's own errors.

    Attributes:
        slug: stable machine-readable name of the kind of problem (the RFC 9457 `type`).
        title: the same for people; does not vary between occurrences.
        status: the HTTP status that this kind of problem maps to.
        detail: what was wrong this time.
        remedy: what the caller can do about it.
    """

    slug = "internal-error"
    title = "Something went wrong inside Copyist"
    status = 500

    def __init__(self, detail: str, *, remedy: str = "") -> None:
        super().__init__(f"{detail} {remedy}".strip())
        self.detail = detail
        self.remedy = remedy


class InputError(CopyistError):
    """The request cannot be served as it is: the caller's to mend."""

    slug = "bad-request"
    title = "The request cannot be served as it is"
    status = 400


class UnknownOptionError(InputError):
    """An option, or an option's value, that Copyist does not have."""

    slug = "unknown-option"
    title = "Unknown option or option value"
    status = 422


class UnreadableMediaError(InputError):
    """The upload is not media that can be decoded (or is damaged, empty or mislabelled)."""

    slug = "unreadable-media"
    title = "The file cannot be read"
    status = 422


class TooLargeError(InputError):
    """The upload exceeds a limit on bytes, duration or pages; `detail` names the limit."""

    slug = "too-large"
    title = "The file exceeds a limit"
    status = 413


class UnauthenticatedError(InputError):
    """The caller showed no credential, or none that counts."""

    slug = "unauthenticated"
    title = "Who calls is not known"
    status = 401


class ForbiddenError(InputError):
    """The caller is known, but may not do this."""

    slug = "forbidden"
    title = "The caller may not do this"
    status = 403


class UploadTooSlowError(InputError):
    """The upload came so slowly that it was given up."""

    slug = "upload-too-slow"
    title = "The upload comes too slowly"
    status = 408


class TryAgainError(CopyistError):
    """Nothing is wrong with the request; trying it again after `retry_after_s` may succeed."""

    slug = "unavailable"
    title = "Not available for the moment"
    status = 503

    def __init__(self, detail: str, *, remedy: str = "", retry_after_s: int = 5) -> None:
        super().__init__(detail, remedy=remedy)
        self.retry_after_s = retry_after_s


class OverloadedError(TryAgainError):
    """No room for more work just now."""

    slug = "overloaded"
    title = "Too many requests at once"
    status = 429


class RateLimitedError(OverloadedError):
    """The caller has called more often than it may."""

    slug = "rate-limited"
    title = "Too many requests in a short time"


class ModelUnavailableError(TryAgainError):
    """The model server, or the model, is not there for the moment."""

    slug = "model-unavailable"
    title = "The model server is not available"


class VersionMissingError(ModelUnavailableError):
    """The model server is there, but does not have this version of the model."""


class DatabaseUnavailableError(TryAgainError):
    """The database of jobs and keys does not answer."""

    slug = "database-unavailable"
    title = "The database is not available"


class IssuerUnavailableError(TryAgainError):
    """The keys of the token issuer cannot be fetched just now."""

    slug = "issuer-unavailable"
    title = "The token issuer is not available"


class StorageUnavailableError(TryAgainError):
    """Files cannot be written or read just now: the storage does not answer, or is full."""

    slug = "storage-unavailable"
    title = "The storage of files is not available"


class ModelError(CopyistError):
    """The model server answered, but not as the model's tensor contract promises."""

    slug = "model-error"
    title = "The model did not answer as agreed"
    status = 502


class NotationError(CopyistError):
    """Notes or a score that cannot be written down as asked."""

    slug = "notation-error"
    title = "The score cannot be written"
    status = 500
