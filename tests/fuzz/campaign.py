"""A campaign: mutants of all formats are sent to a running stack, and what becomes of it is watched."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from loadtests.footprint import uses_of
from services.local.stack import LocalStack
from services.runtime.problems import MEDIA_TYPE, TYPE_PREFIX
from tests.fuzz.mutants import Mutant, mutant
from tests.fuzz.seeds import AUDIO_FORMATS, seeds

#: What a service may answer to a file, however broken.
EXPECTED: Final = {200, 413, 422}
#: An answer that took longer is a hang.
LIMIT_S: Final = 60.0
#: Every so many mutants are sent as a job, too, and a job may wait for others.
JOBS_EVERY: Final = 50
JOB_LIMIT_S: Final = 120.0
#: Sent at once; a service takes at least as many.
AT_ONCE: Final = 4
#: Whole files of each format before memory is first looked at, so that pools and caches are full.
WARM_UP: Final = 12
MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a service answered to one mutant.

    Attributes:
        mutant: what was sent.
        answer: the status, or a word where there was none.
        problem: the kind of problem; empty for an accepted file.
        fault: what is wrong with the answer; empty where nothing is.
        seconds: that it took.
    """

    mutant: Mutant
    answer: str
    problem: str
    fault: str
    seconds: float


@dataclass(slots=True)
class FormatReport:
    """What became of the mutants of one format; see `lines`."""

    kind: str
    outcomes: list[Outcome] = field(default_factory=list)
    seconds: float = 0.0

    def faults(self) -> list[Outcome]:
        """Answers that no file may get."""
        return [outcome for outcome in self.outcomes if outcome.fault]

    def row(self) -> str:
        """One line of the table."""
        counted = Counter(outcome.problem or outcome.answer for outcome in self.outcomes)
        named = ("200", "unreadable-media", "too-large")
        others = sum(count for name, count in counted.items() if name not in named)
        slowest = max(self.outcomes, key=lambda outcome: outcome.seconds)
        return (
            f"{self.kind:<6}{len(self.outcomes):>8}{counted['200']:>10}{counted['unreadable-media']:>12}"
            f"{counted['too-large']:>11}{others:>8}{len(self.faults()):>8}"
            f"{slowest.seconds:>9.2f} s (#{slowest.mutant.number}){len(self.outcomes) / self.seconds:>9.1f}/s"
        )


HEADINGS: Final = (
    f"{'format':<6}{'mutants':>8}{'accepted':>10}{'unreadable':>12}{'too large':>11}{'other':>8}"
    f"{'faults':>8}{'slowest':>11}{'speed':>18}{'memory':>14}"
)


class Campaign:
    """Sends mutants to a stack."""

    def __init__(self, stack: LocalStack, *, seed: int) -> None:
        """Begin; `seed` is that of the mutants."""
        self.stack = stack
        self.seed = seed
        self._clients = {
            True: httpx.AsyncClient(base_url=stack.http_url, timeout=LIMIT_S),
            False: httpx.AsyncClient(base_url=stack.omr_http_url, timeout=LIMIT_S),
        }

    async def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            await client.aclose()

    async def warm_up(self, kinds: Iterable[str]) -> None:
        """Send whole files, each as often as fills what a service keeps."""
        for kind in kinds:
            whole = [Mutant(kind, -1, "whole", seed) for seed in seeds(kind)]
            for outcome in await self.send(whole * (WARM_UP // len(whole))):
                if outcome.answer != "200":
                    raise AssertionError(f"a whole {kind} was answered {outcome.answer}: {outcome.problem}")

    async def attack(self, kind: str, numbers: Sequence[int]) -> FormatReport:
        """Send mutants of one format, some at once."""
        began = time.perf_counter()
        outcomes = await self.send(mutant(kind, number, seed=self.seed) for number in numbers)
        return FormatReport(kind, outcomes, time.perf_counter() - began)

    async def send(self, mutants: Iterable[Mutant]) -> list[Outcome]:
        """Send files, some at once."""
        waiting = iter(mutants)
        outcomes: list[Outcome] = []

        async def send() -> None:
            for each in waiting:
                outcomes.append(await self._outcome(each))

        async with asyncio.TaskGroup() as senders:
            for _ in range(AT_ONCE):
                senders.create_task(send())
        return outcomes

    async def _outcome(self, sent: Mutant) -> Outcome:
        is_audio = sent.kind in AUDIO_FORMATS
        client = self._clients[is_audio]
        form = {"file": (f"mutant.{sent.kind}", sent.content)}
        began = time.perf_counter()
        try:
            answer = await client.post("/v1/transcribe" if is_audio else "/v1/recognize", files=form)
            seconds = time.perf_counter() - began
            fault = fault_of(answer)
            if not fault and sent.number % JOBS_EVERY == 0:
                fault = await _fault_as_job(client, form, answer)
        except (httpx.TimeoutException, TimeoutError):
            return Outcome(sent, "hang", "", f"no answer within {LIMIT_S:g} s", LIMIT_S)
        except httpx.TransportError as error:
            return Outcome(sent, "none", "", f"no answer: {error!r}", time.perf_counter() - began)
        return Outcome(sent, str(answer.status_code), _problem(answer), fault, seconds)

    def memory(self) -> dict[str, float]:
        """Resident memory of each program with its children, in MiB."""
        return {name: use.rss_bytes / MIB for name, use in uses_of(self.stack.state()).items()}

    def starts(self) -> Mapping[str, int]:
        """How often each program was started."""
        state = self.stack.state()
        return {name: program.starts for name, program in state.programs.items()} if state else {}

    def left_over(self) -> set[str]:
        """Files that lie in the programs' temporary folders and in the store of files."""
        folders = (self.stack.options.run_dir / "tmp", Path(self.stack.options.files_url))
        return {str(file) for folder in folders for file in folder.rglob("*") if not file.is_dir()}


@asynccontextmanager
async def campaign(stack: LocalStack, *, seed: int) -> AsyncIterator[Campaign]:
    """Run a campaign within the block."""
    running = Campaign(stack, seed=seed)
    try:
        yield running
    finally:
        await running.close()


def fault_of(answer: httpx.Response) -> str:
    """Say what is wrong with the answer to a file, however broken it was; empty where nothing is."""
    if answer.status_code not in EXPECTED:
        return f"status {answer.status_code}: {answer.text[:300]}"
    if answer.status_code == 200:
        return "" if answer.headers["Content-Type"] == "application/json" else "no JSON"
    if answer.headers["Content-Type"] != MEDIA_TYPE:
        return "no problem document"
    problem: Any = answer.json()
    complete = all(problem.get(name) for name in ("type", "title", "status", "detail", "remedy", "instance"))
    return "" if complete else f"an incomplete problem document: {answer.text[:300]}"


async def _fault_as_job(client: httpx.AsyncClient, form: Mapping[str, Any], direct: httpx.Response) -> str:
    """Send a file as a job, remove that in the end, and say where it did not end as the direct call did."""
    submitted = await client.post("/v1/jobs", files=form, headers={"Idempotency-Key": uuid.uuid4().hex})
    if submitted.status_code != 202:
        same = submitted.status_code == direct.status_code and _problem(submitted) == _problem(direct)
        return "" if same else f"as a job: status {submitted.status_code}: {submitted.text[:300]}"
    address = submitted.headers["Location"]
    async with asyncio.timeout(JOB_LIMIT_S):
        job = submitted.json()
        while job["state"] not in ("completed", "failed"):
            await asyncio.sleep(0.05)
            job = (await client.get(address)).json()
    removed = await client.delete(address)
    if removed.status_code != 204:
        return f"the job cannot be removed: {removed.text[:300]}"
    problem = str((job["problem"] or {}).get("type", "")).removeprefix(TYPE_PREFIX)
    same = problem == _problem(direct) and (job["state"] == "completed") == direct.is_success
    return "" if same else f"as a job: {job['state']} {job['problem']}, not {_problem(direct) or 'completed'}"


def _problem(answer: httpx.Response) -> str:
    if answer.headers.get("Content-Type") != MEDIA_TYPE:
        return ""
    return str(answer.json().get("type", "")).removeprefix(TYPE_PREFIX)
