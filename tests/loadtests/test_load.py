"""The load test itself, as `make load` runs it, against servers whose times are known."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections import Counter
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from services.local.stack import LocalStack
from tests.loadtests.servers import WELL, grpc_server, http_server
from tests.waiting import tried_enough

SERVICE_S = 0.25
#: What the machine may add to a latency, tests of others running beside. A latency that a closed loop makes
#: too short is found however slow the machine is.
SLACK_S = 6.0
#: When a server answers that does not answer within the test.
NEVER_S = 60.0


def _load(folder: Path, *options: str, **ports: int | str) -> tuple[subprocess.CompletedProcess[str], Any]:
    variables = {f"COPYIST_{name.upper()}": str(value) for name, value in ports.items()}
    done = subprocess.run(
        [sys.executable, "-m", "loadtests.load", "--host", "127.0.0.1", "--out", folder, *options],
        env={**os.environ, "COPYIST_RUN_DIR": str(folder / "none"), **variables},
        check=False,
        capture_output=True,
        text=True,
        timeout=400,
    )
    found = folder / "load.json"
    return done, json.loads(found.read_text()) if found.exists() else None


def _ends_of_one_queue(planned_s: list[float]) -> list[float]:
    """When a server ends each that does one at a time, in SERVICE_S, in whatever order it takes them."""
    ends_s = [0.0]
    for at_s in sorted(planned_s):
        ends_s.append(max(ends_s[-1], at_s) + SERVICE_S)
    return ends_s[1:]


@pytest.mark.parametrize("way", ["http", "grpc"])
def test_latencies_of_an_overloaded_queue_are_those_of_theory(way: str, tmp_path: Path) -> None:
    """Half as many again come as can be done: a closed loop would have shown SERVICE_S for each."""
    added_s: list[float] = []
    while not tried_enough(added_s, SLACK_S):
        added_s.append(_added_to_theory(way, tmp_path))
    assert min(added_s) < SLACK_S


def _added_to_theory(way: str, folder: Path) -> float:
    """By how many seconds at most a request left, or was answered, later than in theory; none is sooner."""
    options = ("--rate", "6", "--seconds", "4", "--mix", f"{way}/recording/short=1")
    if way == "http":
        with http_server(lambda: (SERVICE_S, 200, WELL)) as port:
            done, report = _load(folder, *options, amt_http_port=port)
    else:
        with grpc_server(SERVICE_S) as port:
            done, report = _load(folder, *options, amt_grpc_port=port)
    assert done.returncode == 0, done.stdout + done.stderr
    requests = report["requests"]
    assert len(requests) > 10
    assert all(each["outcome"] == "done" and each["late_s"] >= 0 for each in requests)
    assert max(each["latency_s"] for each in requests) > 3 * SERVICE_S
    ends_s = sorted(each["planned_s"] + each["latency_s"] for each in requests)
    expected_s = _ends_of_one_queue([each["planned_s"] for each in requests])
    added_s = [end_s - expected for end_s, expected in zip(ends_s, expected_s, strict=True)]
    assert min(added_s) >= -0.01
    return max(*added_s, *(each["late_s"] for each in requests))


def test_the_rate_does_not_yield_to_a_slow_service(tmp_path: Path) -> None:
    """Every planned request is sent in its time, even where none is answered before the end."""
    options = ("--rate", "8", "--seconds", "3", "--mix", "http/recording/short=1")
    with http_server(lambda: (NEVER_S, 200, WELL), at_once=True) as port:
        done, report = _load(tmp_path, *options, "--drain", "1", amt_http_port=port)
    assert done.returncode == 1
    outcomes = Counter(each["outcome"] for each in report["requests"])
    assert outcomes == {"unfinished": len(report["requests"])}
    assert len(report["requests"]) > 10
    assert all(each["late_s"] < NEVER_S / 2 for each in report["requests"])
    assert "failed otherwise than by 429" in done.stdout


def test_refusals_are_told_apart_from_errors(tmp_path: Path) -> None:
    problem = {"type": "urn:copyist:problem:overloaded"}
    answers = cycle([(0.0, 429, problem), (0.1, 200, WELL)])
    options = ("--rate", "10", "--seconds", "3", "--mix", "http/recording/short=1")
    with http_server(lambda: next(answers)) as port:
        done, report = _load(tmp_path, *options, amt_http_port=port)
    assert done.returncode == 0, done.stdout + done.stderr
    (kind, whole) = report["kinds"]
    assert kind["name"] == "http/recording/short"
    assert {**kind, "name": "all"} == whole
    assert kind["refused"] + kind["done"] == kind["sent"] == len(report["requests"])
    assert abs(kind["refused"] - kind["done"]) <= 1
    with (tmp_path / "load.csv").open() as file:
        assert len(list(csv.DictReader(file))) == kind["sent"]
    assert (tmp_path / "load.png").read_bytes().startswith(b"\x89PNG")


def test_errors_are_named_and_give_status_1(tmp_path: Path) -> None:
    problem = {"type": "urn:copyist:problem:model-unavailable"}
    answers = cycle([(0.0, 503, problem), (0.0, 200, WELL), (0.0, 200, {"notes": []}), (0.0, 500, {})])
    options = ("--rate", "10", "--seconds", "3", "--mix", "http/recording/short=1")
    with http_server(lambda: next(answers)) as port:
        done, report = _load(tmp_path, *options, amt_http_port=port)
    assert done.returncode == 1
    assert set(report["kinds"][0]["errors"]) == {"model-unavailable", "nothing found", "HTTP 500"}
    assert "error: model-unavailable" in done.stdout


def test_a_service_that_is_not_there_is_told_in_a_line(tmp_path: Path) -> None:
    done, report = _load(tmp_path, "--mix", "http/recording/short=1", amt_http_port=1)
    assert done.returncode == 1
    assert report is None
    assert done.stderr == "load: http/recording/short failed with no other load: ConnectError.\n"


@pytest.mark.stack
def test_every_way_of_the_real_services_is_measured(stack: LocalStack, tmp_path: Path) -> None:
    ports = {name.removeprefix("COPYIST_").lower(): value for name, value in stack.options.variables.items()}
    options = ("--rate", "1", "--seconds", "6", "--mix", "*/short=1")
    done, report = _load(tmp_path, *options, **ports)
    assert done.returncode == 0, done.stdout + done.stderr
    state = stack.state()
    assert state is not None
    assert set(report["programs"]) == set(state.programs)
    assert all(each["peak_mib"] > 10 for each in report["programs"].values())
    assert sum(each["cpu_s"] for each in report["programs"].values()) > 0
    assert report["kinds"][-1]["done"] > 0
