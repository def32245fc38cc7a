"""Programs die while jobs are under way; a small form of `make chaos-jobs`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

#: Jobs, and how often a worker dies in each stage.
SMALL = ("--jobs", "16", "--rounds", "1")

pytestmark = [pytest.mark.stack, pytest.mark.slow]


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_every_job_is_done_once_whatever_dies(database: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "loadtests.chaos", "--database", database, "--out", tmp_path, *SMALL],
        # Others take over sooner, so that the test is over sooner.
        env={**os.environ, "COPYIST_WORKER_LOST_S": "5"},
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / f"{database}.json").read_text())
    assert report["jobs"] == sum(report["attempts"].values()) >= 16
    killed = {kill["what"] for kill in report["kills"]}
    assert killed >= {"amt worker, transcribing", "amt worker, engraving", "amt", "omr", "triton"}
    assert killed >= {"omr worker, recognizing", "omr worker, engraving"}
    assert ("database" in killed) == (database == "postgresql")
    assert not [check for check in report["checks"] if check["broken"]]
