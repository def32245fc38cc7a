"""The whole stack under kill -9: every program comes back by itself and leaves no orphans."""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import httpx
import psutil
import pytest

from services.local.stack import LocalStack
from services.local.state import ProgramState
from services.triton.environment import REPOSITORY_ROOT
from tests import waiting

pytestmark = pytest.mark.stack

#: Seconds within which a killed program must be ready again; on two slow cores, with others busy.
BACK_WITHIN_S = 180
DEMO_PAGE = REPOSITORY_ROOT / "services" / "client" / "samples" / "demo-page.png"
PAGES = 6


def program(stack: LocalStack, name: str) -> ProgramState:
    found = stack.state()
    assert found is not None
    return found.programs[name]


def leader(stack: LocalStack, name: str) -> psutil.Process:
    process = program(stack, name).process
    assert process is not None
    return psutil.Process(process.pid)


def family(stack: LocalStack, name: str) -> set[int]:
    """All live processes that came of a program, whoever their parent is now."""
    mark = program(stack, name).log
    found = set()
    for process in psutil.process_iter():
        try:
            lives = process.status() != psutil.STATUS_ZOMBIE
            if lives and process.environ().get("COPYIST_FAMILY") == mark:
                found.add(process.pid)
        except psutil.Error:  # it has ended, or is another's
            continue
    return found


def descendants(process: psutil.Process) -> set[int]:
    return {process.pid, *(child.pid for child in process.children(recursive=True))}


def whole(stack: LocalStack, name: str) -> bool:
    """Whether all that came of a program is still below it; a process that just begins or ends may not be."""
    return family(stack, name) == descendants(leader(stack, name))


def serving(stack: LocalStack, name: str) -> psutil.Process:
    """The process of a BentoML service that does the work: the one that listens on the gRPC port."""
    port = int(program(stack, name).addresses["gRPC"].rpartition(":")[2])
    for pid in family(stack, name):
        with suppress(psutil.NoSuchProcess):  # it was one that just ended
            listening = psutil.Process(pid).net_connections("tcp")
            if any(c.laddr.port == port and c.status == psutil.CONN_LISTEN for c in listening):
                return psutil.Process(pid)
    raise AssertionError(f"nothing listens on {port}")


wait_for = partial(waiting.wait_for, limit_s=BACK_WITHIN_S)


def ready(stack: LocalStack) -> bool:
    found = stack.state()
    return found is not None and found.ready


@pytest.mark.parametrize("name", ["triton", "amt", "omr", "amt-worker", "omr-worker"])
def test_a_killed_program_is_back_in_seconds_and_leaves_no_orphans(stack: LocalStack, name: str) -> None:
    wait_for(lambda: ready(stack))
    # Nothing is left of what went on before.
    wait_for(lambda: len(family(stack, name)) > 1 and whole(stack, name))
    before, starts = family(stack, name), program(stack, name).starts
    leader(stack, name).kill()
    wait_for(lambda: program(stack, name).starts == starts + 1)
    wait_for(lambda: ready(stack))
    assert program(stack, name).starts == starts + 1, "at the first try: no port was held any more"
    assert program(stack, name).last_exit == "signal 9 (Killed)"
    wait_for(lambda: not before & family(stack, name))
    wait_for(lambda: whole(stack, name))


@pytest.mark.parametrize("name", ["amt", "omr"])
def test_a_killed_serving_process_is_back_in_seconds(stack: LocalStack, name: str) -> None:
    wait_for(lambda: ready(stack))
    main, killed, starts = leader(stack, name), serving(stack, name), program(stack, name).starts
    assert killed.pid != main.pid
    below = descendants(killed)
    killed.kill()
    http = program(stack, name).addresses["HTTP"]

    def back() -> bool:
        try:
            return not psutil.pid_exists(killed.pid) and httpx.get(f"{http}/readyz").is_success
        except httpx.TransportError:
            return False

    wait_for(back)
    assert program(stack, name).starts == starts, "BentoML's main process sees to it"
    assert serving(stack, name).pid != killed.pid
    # Its engraving processes end with it.
    wait_for(lambda: not below & family(stack, name))
    wait_for(lambda: whole(stack, name))


def pages_in(kept: Path) -> dict[str, int]:
    """The pages that lie there whole, and when each was written."""
    if not kept.is_dir():
        return {}
    return {path.name: path.stat().st_mtime_ns for path in kept.iterdir() if path.suffix != ".part"}


def killed_midway(stack: LocalStack, http: httpx.Client) -> tuple[str, Path, dict[str, int]]:
    """Kill the worker while pages of a job are left; the job's address, its folder, and what it had read.

    Who is held up here finds all pages read: then it is done again with another job.
    """
    page = DEMO_PAGE.read_bytes()
    upload = [("file", (f"page{number}.png", page)) for number in range(PAGES)]
    for _ in range(5):
        wait_for(lambda: ready(stack))
        answer = http.post("/v1/jobs", files=upload, headers={"Idempotency-Key": str(time.time())})
        assert answer.status_code == 202, answer.text
        job = answer.headers["Location"]
        kept = Path(stack.options.files_url) / "jobs" / answer.json()["id"] / "kept"
        wait_for(lambda: len(pages_in(kept)) >= 2 or http.get(job).json()["state"] == "completed")  # noqa: B023
        leader(stack, "omr-worker").kill()
        before = pages_in(kept)
        if 2 <= len(before) < PAGES:
            return job, kept, before
    raise AssertionError("it was never killed while pages were left")


def test_a_killed_worker_goes_on_with_the_pages_that_were_left(stack: LocalStack) -> None:
    with httpx.Client(base_url=stack.omr_http_url, timeout=60) as http:
        job, kept, before = killed_midway(stack, http)
        wait_for(lambda: bool(http.get(job).json()["attempts"] == 2))
        last = dict(before)

        def done() -> bool:
            with suppress(FileNotFoundError):  # all of it is removed in the end
                last.update(pages_in(kept))
            return bool(http.get(job).json()["state"] in ("completed", "failed"))

        wait_for(done)
        told = http.get(job).json()
        assert told["state"] == "completed", told
        assert {name: last[name] for name in before} == before, "what was read before was not read again"
        (href,) = [file["href"] for file in told["files"] if file["format"] == "answer"]
        assert len(http.get(href).json()["pages"]) == PAGES
