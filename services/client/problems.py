"""From what went wrong on the wire to the exception a caller gets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from services.client.errors import BadAnswerError, UnreachableError
from services.client.retry import parse_retry_after
from services.errors import CopyistError, InputError, ModelUnavailableError, OverloadedError, TryAgainError


def problem_of(response: httpx.Response) -> CopyistError:
    """The exception that an error answer stands for.

    An RFC 9457 problem becomes the class of `services.errors` whose slug its `type` ends in; a kind
    this client does not know yet, or an answer of something in between (a proxy), is classed by its status.
    """
    problem = _problem(response)
    if problem is None:
        return _unexplained(response)
    retry_after_s = parse_retry_after(response.headers.get("Retry-After"))
    return problem_from(problem, response.status_code, retry_after_s)


def problem_from(
    problem: Mapping[str, Any], status: int = CopyistError.status, retry_after_s: float | None = None
) -> CopyistError:
    """The exception that a problem document stands for.

    Args:
        problem: its members.
        status: of the answer that brought it, for a problem that does not tell its own.
        retry_after_s: when the same request may succeed, where the service tells.
    """
    status = problem["status"] if isinstance(problem.get("status"), int) else status
    detail = str(problem.get("detail") or problem.get("title") or "The service does not say why.")
    remedy = str(problem.get("remedy") or "")
    request_id = str(problem.get("instance") or "")
    if status >= 500 and request_id:
        remedy = f"{remedy} The request's id is {request_id}.".strip()
    slug = str(problem.get("type") or "").rstrip("/").replace(":", "/").rsplit("/", 1)[-1]
    kind = dict(_kinds(CopyistError)).get(slug) or _kind_by_status(status)
    return _raised(kind, status, detail, remedy, retry_after_s)


def unreachable(error: httpx.RequestError, base_url: str, waited_s: float) -> CopyistError:
    """The exception for a request that got no whole answer.

    Args:
        error: what httpx met.
        base_url: the service's address, for the message.
        waited_s: how long the client was ready to wait for the answer to begin.
    """
    match error:
        case httpx.ConnectError() | httpx.ConnectTimeout():
            return UnreachableError(
                f"Nothing answers at {base_url}.",
                remedy="Start the service with `make up`, or name its address: --url or COPYIST_URL.",
            )
        case httpx.TimeoutException():
            return UnreachableError(
                f"{base_url} gave no answer within {waited_s:.0f} s.",
                remedy="Try again when it is less busy, or allow more time (timeout_s).",
            )
        case httpx.LocalProtocolError():
            return InputError(
                f"The recording could not be sent as announced ({error}).",
                remedy="If something is still writing to the file, try again when it is done.",
            )
        case httpx.DecodingError():
            return BadAnswerError(
                f"The answer of {base_url} is damaged ({error}).",
                remedy="Check what lies between client and service, such as a proxy.",
            )
        case _:
            return UnreachableError(
                f"The connection to {base_url} broke before the answer was whole ({error}).",
                remedy="Try again; if it happens each time, look into the service's log.",
            )


def _problem(response: httpx.Response) -> dict[str, Any] | None:
    """The answer's problem document, or None if it is none."""
    if "json" not in response.headers.get("Content-Type", ""):
        return None
    try:
        body = response.json()
    except ValueError:
        return None
    return body if isinstance(body, dict) and ("detail" in body or "title" in body) else None


def _unexplained(response: httpx.Response) -> CopyistError:
    """For an error answer that is no problem document."""
    said = f"{response.status_code} {response.reason_phrase}".strip()
    url = response.request.url
    if response.status_code in (429, 503):
        kind = _kind_by_status(response.status_code)
        retry_after_s = parse_retry_after(response.headers.get("Retry-After"))
        detail = f"{url} answered {said}."
        return _raised(kind, response.status_code, detail, "Try again in a while.", retry_after_s)
    return BadAnswerError(
        f"{url} answered {said}, without saying why in the way that Copyist does.",
        remedy="Check that the address is Copyist's, and what lies in between, such as a proxy.",
    )


def _raised(
    kind: type[CopyistError], status: int, detail: str, remedy: str, retry_after_s: float | None
) -> CopyistError:
    if issubclass(kind, TryAgainError):
        if retry_after_s is not None:
            return kind(detail, remedy=remedy, retry_after_s=round(retry_after_s))
        return kind(detail, remedy=remedy)
    error = kind(detail, remedy=remedy)
    error.status = status
    return error


def _kinds(root: type[CopyistError]) -> Iterator[tuple[str, type[CopyistError]]]:
    """Every class of the tree that has a slug of its own; others are told as the class above them is."""
    if "slug" in vars(root):
        yield root.slug, root
    for kind in root.__subclasses__():
        yield from _kinds(kind)


def _kind_by_status(status: int) -> type[CopyistError]:
    if status == OverloadedError.status:
        return OverloadedError
    if status == ModelUnavailableError.status:
        return ModelUnavailableError
    return InputError if 400 <= status < 500 else CopyistError
