"""Errors on the wire: RFC 9457 problem documents for HTTP, status codes for gRPC."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

import grpc
from starlette.responses import JSONResponse, Response

from services.errors import CopyistError, InputError, TryAgainError, UnauthenticatedError
from services.runtime.text import printable, shortened

TYPE_PREFIX: Final = "urn:copyist:problem:"
MEDIA_TYPE: Final = "application/problem+json"

#: Characters of a detail that are told: it may quote what was sent.
_LONGEST_DETAIL: Final = 600

_GRPC_BY_STATUS: Final = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    413: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    502: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}


class NotFoundError(InputError):
    """The address, or the model, does not exist."""

    slug = "not-found"
    title = "There is nothing at this address"
    status = 404


class MethodNotAllowedError(InputError):
    """The address exists, but not for this HTTP method."""

    slug = "method-not-allowed"
    title = "The method does not suit the address"
    status = 405


class NotAcceptableError(InputError):
    """None of the forms that the caller accepts can be given."""

    slug = "not-acceptable"
    title = "The answer does not exist in an accepted form"
    status = 406


class TimedOutError(CopyistError):
    """The request took longer than the service allows any request to take."""

    slug = "timed-out"
    title = "The request took too long"
    status = 504


def unexpected(request_id: str) -> CopyistError:
    """Make the error that stands for a fault of ours, without telling its inside."""
    return CopyistError(
        "The service met an error that it did not expect; its log tells more.",
        remedy=f"Try again; if it fails again, report the request id {request_id}.",
    )


def document(error: CopyistError, request_id: str) -> dict[str, Any]:
    """Write an error as the members of a problem document."""
    return {
        "type": TYPE_PREFIX + error.slug,
        "title": error.title,
        "status": error.status,
        "detail": told(error.detail),
        "remedy": error.remedy,
        "instance": request_id,
    }


def told(detail: str) -> str:
    """Give a detail as it may be shown, whatever it quotes: printable, and of bounded length."""
    return shortened(printable(detail), _LONGEST_DETAIL)


def response(error: CopyistError, request_id: str) -> Response:
    """Answer an HTTP request with a problem document."""
    headers = {}
    if isinstance(error, TryAgainError):
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, UnauthenticatedError):
        headers["WWW-Authenticate"] = 'Bearer realm="copyist"'
    return JSONResponse(document(error, request_id), error.status, headers, MEDIA_TYPE)


def from_http_status(status: int, method: str, path: str) -> CopyistError:
    """Make the error that stands for a status that the router answers with by itself."""
    if status == NotFoundError.status:
        return NotFoundError(f"There is nothing at {path}.", remedy="See /docs for what there is.")
    if status == MethodNotAllowedError.status:
        return MethodNotAllowedError(
            f"{path} does not take {method}.", remedy="See /docs for the methods that it takes."
        )
    return InputError(f"The request was refused: {HTTPStatus(status).phrase}.", remedy="See /docs.")


def grpc_status(error: CopyistError) -> grpc.StatusCode:
    """Map an error to the gRPC status code nearest to its HTTP status."""
    return _GRPC_BY_STATUS.get(error.status, grpc.StatusCode.INTERNAL)
