"""The Python client, sync and async: refusals, failures, nonsense, and when it tries again."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from services.client import (
    BadAnswerError,
    CopyistError,
    InputError,
    ModelUnavailableError,
    OverloadedError,
    RetryPolicy,
    TooLargeError,
    UnknownOptionError,
    UnreachableError,
    UnreadableMediaError,
)
from services.client.exchange import LONGEST_ANSWER_S, answer_s
from tests.client.conftest import QUICK, Transcribe, piped
from tests.client.scripted import TRANSCRIPTION, Answer, Scripted, good, problem


def test_pipe_cannot_be_sent_again(scripted: Scripted, transcribe: Transcribe) -> None:
    scripted.in_turn(problem(503, "model-unavailable"), good())
    with piped(b"sound") as pipe, pytest.raises(ModelUnavailableError):
        transcribe(scripted.url, pipe)
    assert len(scripted.asked) == 1


@pytest.mark.parametrize(
    ("status", "slug", "kind"),
    [
        (400, "bad-request", InputError),
        (413, "too-large", TooLargeError),
        (422, "unknown-option", UnknownOptionError),
        (422, "unreadable-media", UnreadableMediaError),
        (500, "internal-error", CopyistError),
    ],
)
def test_problem_becomes_the_services_own_exception(
    scripted: Scripted, transcribe: Transcribe, tone: Path, status: int, slug: str, kind: type[CopyistError]
) -> None:
    scripted.in_turn(problem(status, slug, "The limit is 128 MiB."))
    with pytest.raises(CopyistError) as caught:
        transcribe(scripted.url, tone)
    assert type(caught.value) is kind
    assert caught.value.detail == "The limit is 128 MiB."
    assert caught.value.remedy.startswith("Do otherwise.")
    assert ("r-7" in caught.value.remedy) == (status >= 500)  # the id is of use to whoever has the log
    assert len(scripted.asked) == 1


@pytest.mark.parametrize(("status", "kind"), [(409, InputError), (429, OverloadedError), (507, CopyistError)])
def test_unknown_problem_is_classed_by_its_status(
    scripted: Scripted, transcribe: Transcribe, tone: Path, status: int, kind: type[CopyistError]
) -> None:
    scripted.in_turn(problem(status, "invented-tomorrow"))
    with pytest.raises(CopyistError) as caught:
        transcribe(scripted.url, tone, retry=RetryPolicy(attempts=1, busy_s=0))
    assert type(caught.value) is kind
    assert caught.value.status == status


@pytest.mark.parametrize(("status", "slug"), [(429, "overloaded"), (503, "model-unavailable")])
def test_refusal_is_retried_after_as_long_as_asked(
    scripted: Scripted, transcribe: Transcribe, tone: Path, status: int, slug: str
) -> None:
    scripted.in_turn(problem(status, slug, Retry_After="1"), good())
    started = time.monotonic()
    assert transcribe(scripted.url, tone).id == "r-1"
    assert 1.0 <= time.monotonic() - started < 20
    assert len(scripted.asked) == 2
    assert scripted.asked[0].parts() == scripted.asked[1].parts()


@pytest.mark.parametrize("failure", [problem(503, "model-unavailable"), Answer(hang_up=True)])
def test_retries_end(scripted: Scripted, transcribe: Transcribe, tone: Path, failure: Answer) -> None:
    scripted.in_turn(failure)
    with pytest.raises((ModelUnavailableError, UnreachableError)):
        transcribe(scripted.url, tone)
    assert len(scripted.asked) == QUICK.attempts


def test_busy_service_is_asked_for_as_long_as_allowed(
    scripted: Scripted, transcribe: Transcribe, tone: Path
) -> None:
    busy = [problem(429, "overloaded")] * 6
    scripted.in_turn(*busy, good())
    assert transcribe(scripted.url, tone, retry=RetryPolicy(attempts=1, base_s=0.01, busy_s=10)).id == "r-1"
    scripted.asked.clear()
    with pytest.raises(OverloadedError):
        transcribe(scripted.url, tone, retry=RetryPolicy(base_s=0.1, busy_s=0.25))
    assert 2 <= len(scripted.asked) <= 4  # waits of 0.05 to 0.1, then 0.1 to 0.2 s, then twice that


def test_too_long_a_wait_is_left_to_the_caller(
    scripted: Scripted, transcribe: Transcribe, tone: Path
) -> None:
    scripted.in_turn(problem(503, "model-unavailable", Retry_After="3600"))
    with pytest.raises(ModelUnavailableError) as caught:
        transcribe(scripted.url, tone)
    assert caught.value.retry_after_s == 3600
    assert len(scripted.asked) == 1


def test_wrong_request_is_not_repeated(scripted: Scripted, transcribe: Transcribe, tone: Path) -> None:
    scripted.in_turn(problem(422, "unreadable-media"), good())
    with pytest.raises(UnreadableMediaError):
        transcribe(scripted.url, tone)
    assert len(scripted.asked) == 1


def test_broken_connection_is_retried(scripted: Scripted, transcribe: Transcribe, tone: Path) -> None:
    scripted.in_turn(Answer(hang_up=True), good())
    assert transcribe(scripted.url, tone).id == "r-1"
    assert len(scripted.asked) == 2


def test_cut_off_answer(scripted: Scripted, transcribe: Transcribe, tone: Path) -> None:
    whole = json.dumps(TRANSCRIPTION).encode()
    scripted.in_turn(Answer(body=whole[:200], announced=len(whole)))
    with pytest.raises(UnreachableError, match="broke before the answer was whole"):
        transcribe(scripted.url, tone)
    assert len(scripted.asked) == QUICK.attempts


def test_no_service_is_one_clear_message(nobody: str, transcribe: Transcribe, tone: Path) -> None:
    with pytest.raises(UnreachableError, match=f"Nothing answers at {nobody}") as caught:
        transcribe(nobody, tone)
    assert "make up" in caught.value.remedy


def test_slow_answer_ends_in_time(scripted: Scripted, transcribe: Transcribe, tone: Path) -> None:
    scripted.in_turn(Answer(delay_s=15.0))
    started = time.monotonic()
    with pytest.raises(UnreachableError, match="no answer within"):
        transcribe(scripted.url, tone, timeout_s=1)
    assert time.monotonic() - started < 15
    # The wait is not repeated: the work would start anew.
    assert len(scripted.asked) == 1


@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=b'{"id": "r-1", "notes": ['),
        Answer(body=b"[]"),
        Answer(body=b"{}"),
        Answer(body=b"<html>It works!</html>", content_type="text/html"),
        Answer(404, b"<html>Not Found</html>", content_type="text/html"),
        Answer(302, headers={"Location": "/elsewhere"}),
        Answer(502, b"Bad Gateway", content_type="text/plain"),
        good(notes=[{"pitch": 60}]),
        good(files=[{"name": "x.mid", "format": "midi", "media_type": "audio/midi", "href": "http://x/"}]),
        good(
            files=[{"name": "x.mid", "format": "midi", "media_type": "audio/midi", "href": "data:;base64,A"}]
        ),
    ],
)
def test_nonsense_is_told_as_such(
    scripted: Scripted, transcribe: Transcribe, tone: Path, answer: Answer
) -> None:
    scripted.in_turn(answer)
    with pytest.raises(BadAnswerError) as caught:
        transcribe(scripted.url, tone)
    assert caught.value.remedy


def test_wait_for_the_answer_grows_with_the_upload() -> None:
    assert answer_s(0) < answer_s(1_000_000) < answer_s(10_000_000)
    assert answer_s(None) == answer_s(10**12) == LONGEST_ANSWER_S
