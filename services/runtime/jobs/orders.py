"""What callers hand in, and when two submissions are the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final
from uuid import uuid4

from services.errors import InputError
from services.runtime.jobs.job import Job, JobInput, Submission

_BLOCK_BYTES: Final = 1 << 18


class IdempotencyConflictError(InputError):
    """A key that stands for another submission already."""

    slug = "idempotency-conflict"
    title = "The Idempotency-Key stands for another submission"
    status = 422


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a caller hands in at the desk.

    Attributes:
        owner: whose job it is to be.
        key: the caller's Idempotency-Key; empty for none.
        title: what the result's files are called by.
        options: what is asked for; checked, and in their normal form.
        files: what was uploaded, in order.
        webhook_url: is told of the job's end; empty for none.
        request_id: of the request.
        trace: its W3C `traceparent`; empty for none.
    """

    owner: str
    key: str
    title: str
    options: Mapping[str, str]
    files: Sequence[BinaryIO]
    webhook_url: str = ""
    request_id: str = ""
    trace: str = ""


def submission_of(order: Order, service: str, inputs: tuple[JobInput, ...]) -> Submission:
    """Write the submission of an order whose files were measured."""
    return Submission(
        id=uuid4().hex,
        service=service,
        owner=order.owner,
        key=order.key or _digest(order, inputs),
        title=order.title,
        options=dict(order.options),
        inputs=inputs,
        webhook_url=order.webhook_url,
        request_id=order.request_id,
        trace=order.trace,
    )


def described(file: BinaryIO) -> JobInput:
    """Measure an uploaded file, in blocks."""
    file.seek(0)
    digest = hashlib.sha256()
    size = 0
    while block := file.read(_BLOCK_BYTES):
        digest.update(block)
        size += len(block)
    return JobInput(size, digest.hexdigest())


def _digest(order: Order, inputs: Sequence[JobInput]) -> str:
    """What makes two submissions without a key the same: all that is asked for, and to be told to whom."""
    options = [f"{name}={text}" for name, text in sorted(order.options.items())]
    parts = [order.title, order.webhook_url, *options, "", *(given.sha256 for given in inputs)]
    return "sha256:" + hashlib.sha256("\0".join(parts).encode()).hexdigest()


def same(known: Job, submission: Submission) -> Job:
    """Give a known job if it is what a submission of its key asks for.

    Raises:
        IdempotencyConflictError: it is not.
    """

    def asked(one: Submission) -> tuple[object, ...]:
        return one.title, dict(one.options), one.inputs, one.webhook_url

    if asked(known.submission) == asked(submission):
        return known
    raise IdempotencyConflictError(
        f"The Idempotency-Key was used for job {known.id}, with another file, option, name or webhook.",
        remedy="Choose a new key for each submission, or leave it out: the same content gives the same job.",
    )
