"""Logs in both forms: what stands in a line, and that no caller writes lines of its own."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from services.runtime import logs
from services.runtime.logs import JsonLines, TextLines
from services.runtime.work import in_thread
from services.triton.environment import REPOSITORY_ROOT
from tests.recordings import tones, with_soundfile
from tests.runtime.observed import Observed

FORGED = 'x"}\n{"level": "CRITICAL"}\r\x1b[31mred\u2028'


class Written:
    """A logger of the test's own, and the lines that it has written."""

    def __init__(self, formatter: logging.Formatter) -> None:
        self.stream = io.StringIO()
        self.log = logging.Logger("copyist.test")
        handler = logging.StreamHandler(self.stream)
        handler.setFormatter(formatter)
        self.log.addHandler(handler)

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().split("\n")[:-1]


@pytest.fixture
def as_json() -> Written:
    return Written(JsonLines("amt"))


@pytest.fixture
def as_text() -> Written:
    return Written(TextLines("amt"))


def test_a_line_of_json(as_json: Written) -> None:
    with logs.bind(request_id="abc", job="j1"):
        as_json.log.info("%s done", "it is", extra=logs.fields(route="/v1/jobs", status=202, seconds=0.25))
    (line,) = map(json.loads, as_json.lines)
    moment = datetime.fromisoformat(line.pop("time"))
    assert moment.utcoffset() == timedelta(0)
    assert abs(datetime.now(moment.tzinfo) - moment) < timedelta(minutes=1)
    assert line == {
        "level": "INFO",
        "logger": "copyist.test",
        "message": "it is done",
        "service": "amt",
        "request_id": "abc",
        "job": "j1",
        "route": "/v1/jobs",
        "status": 202,
        "seconds": 0.25,
    }


def test_a_line_of_text(as_text: Written) -> None:
    with logs.bind(request_id="abc"):
        as_text.log.warning("done", extra=logs.fields(route="/v1/jobs"))
    (line,) = as_text.lines
    assert line.endswith("Z [WARNING] [amt] done request_id=abc")


def test_nobody_forges_lines_or_commands_terminals(as_json: Written, as_text: Written) -> None:
    for written in (as_json, as_text):
        with logs.bind(job=FORGED):
            written.log.info("%s", FORGED)
            try:
                raise ValueError(FORGED)
            except ValueError:
                written.log.exception("%s", FORGED)
    assert [json.loads(line)["message"] for line in as_json.lines] == [FORGED, FORGED]
    assert "ValueError" in json.loads(as_json.lines[1])["exception"]
    plain = as_text.lines
    assert [line[:4].isdecimal() for line in plain] == [True, True] + [False] * (len(plain) - 2)
    assert all(line.startswith("    ") for line in plain[2:])
    for line in as_json.lines + plain:
        assert line.isprintable()


def test_what_is_bound_holds_within_the_block_alone(as_json: Written) -> None:
    with logs.bind(request_id="outer"):
        with logs.bind(job="inner"):
            as_json.log.info("both")
        as_json.log.info("one")
    as_json.log.info("none")
    bound = [{"request_id", "job"} & json.loads(line).keys() for line in as_json.lines]
    assert bound == [{"request_id", "job"}, {"request_id"}, set()]


async def test_a_thread_writes_for_the_request_that_it_works_for(as_json: Written) -> None:
    with ThreadPoolExecutor(1) as threads:
        for name in ("one", "two"):
            with logs.bind(request_id=name):
                await in_thread(threads, lambda: as_json.log.info("at work"))
    assert [json.loads(line)["request_id"] for line in as_json.lines] == ["one", "two"]


SCRIPT = """
import logging, sys, threading, warnings
from dataclasses import replace
import dbos
from services.runtime import logs
from services.runtime.settings import Settings
logs.configure(replace(Settings(), log_format="json"), "amt-worker")
dbos.DBOS(config={"name": "test", "system_database_url": "sqlite:///:memory:"})
for name in ("bentoml.serve", "uvicorn.error", "dbos", "circus", "alembic", "copyist.jobs"):
    logging.getLogger(name).warning("a warning")
    logging.getLogger(name).debug("no line")
warnings.warn("an old function")
# What an upload makes Pillow and libtiff say is no line.
import io, numpy as np, tempfile
from pathlib import Path
from PIL import Image
from services.omr import scans
for damage in (40, 200, 400):
    content = io.BytesIO()
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 2, (64, 64)) > 0)
    picture.save(content, "TIFF", compression="group4")
    with tempfile.NamedTemporaryFile() as file:
        broken = bytearray(content.getvalue())
        broken[damage:damage + 40] = bytes(range(100, 140))
        Path(file.name).write_bytes(broken)
        try:
            scans.read(Path(file.name), 0, colour=False)
        except Exception:
            pass
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
raise KeyError("the end")
"""


def test_every_library_writes_in_the_same_form() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False, cwd=REPOSITORY_ROOT
    )
    assert done.returncode == 1
    assert done.stderr == ""
    lines = list(map(json.loads, done.stdout.splitlines()))
    warned = [line["logger"] for line in lines if line["message"] == "a warning"]
    assert warned == ["bentoml.serve", "uvicorn.error", "dbos", "circus", "alembic", "copyist.jobs"]
    assert [line for line in lines if "an old function" in line["message"]]
    assert [line["exception"].splitlines()[-1] for line in lines if line["level"] == "CRITICAL"] == [
        "ZeroDivisionError: division by zero",
        "KeyError: 'the end'",
    ]
    assert {line["service"] for line in lines} == {"amt-worker"}


IN_A_PROCESS = """
import asyncio, logging
from dataclasses import replace
from services.runtime import logs
from services.runtime.processes import Processes
from services.runtime.settings import Settings

async def main():
    processes = Processes(1, warm_up=logs.configured, max_s=120)
    with logs.bind(request_id="mine"):
        await processes.run(logging.getLogger("copyist.score").warning, "at work")
    await processes.run(logging.getLogger("copyist.score").warning, "at other work")
    processes.close()

logs.configure(replace(Settings(), log_format="json"), "amt")
asyncio.run(main())
"""


def test_a_process_writes_for_the_request_that_it_works_for() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IN_A_PROCESS], capture_output=True, text=True, check=True, cwd=REPOSITORY_ROOT
    )
    assert done.stderr == ""
    one, other = map(json.loads, done.stdout.splitlines())
    assert (one["message"], one["service"], one["request_id"]) == ("at work", "amt", "mine")
    assert "request_id" not in other


def test_a_form_that_does_not_exist_is_refused_by_its_variable() -> None:
    script = (
        "from services.runtime import logs, settings\n"
        "logs.configure(settings.Settings.from_environment(), 'amt')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY_ROOT,
        env={"COPYIST_LOG_FORMAT": "yaml"},
    )
    assert "COPYIST_LOG_FORMAT must be text or json, not 'yaml'" in done.stderr


@pytest.fixture(scope="module")
def answered(observed: Observed) -> Iterator[list[dict[str, Any]]]:
    """Lines of the real service's log, after requests good and bad."""
    recording = with_soundfile(tones(1, 16_000), 16_000, "WAV")
    with httpx.Client(base_url=observed.stack.http_url, timeout=60) as http:
        http.post(
            "/v1/transcribe",
            files={"file": (f"private{FORGED}.wav", recording)},
            params={"formats": "midi"},
            headers={"X-Request-Id": "logged-1"},
        )
        http.post("/v1/transcribe", files={"file": b"private"}, headers={"X-Request-Id": "logged-2"})
        # Asked for before the last that is waited for: a line of it would be there by then.
        http.get("/readyz", headers={"X-Request-Id": "logged-4"})
        http.get("/v1/private?private=1", headers={"X-Request-Id": "logged-3"})
    for request_id in ("logged-1", "logged-2", "logged-3"):
        observed.line_of(request_id)
    yield observed.lines()


@pytest.mark.stack
def test_the_service_writes_nothing_but_json(answered: list[dict[str, Any]]) -> None:
    loggers = {line["logger"] for line in answered}
    assert {"bentoml.serve", "copyist.requests"} <= loggers
    # Of the process that watches, and of the one that serves.
    messages = " ".join(line["message"] for line in answered)
    assert "BentoServer" in messages
    assert "Completed async startup hook" in messages


@pytest.mark.stack
def test_a_request_is_one_line_without_what_was_sent(answered: list[dict[str, Any]]) -> None:
    told = {
        line["request_id"]: (line["method"], line["route"], line["status"], line["owner"])
        for line in answered
        if line.get("protocol") == "http"
    }
    assert told["logged-1"] == ("POST", "/v1/transcribe", 200, "local")
    assert told["logged-2"] == ("POST", "/v1/transcribe", 422, "local")
    assert told["logged-3"][:3] == ("GET", "unknown", 404)
    assert "logged-4" not in told
    assert "private" not in json.dumps(answered)
