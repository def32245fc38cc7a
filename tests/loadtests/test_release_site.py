"""What a release test starts beside the stack ends with it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from services.triton.environment import REPOSITORY_ROOT
from tests.waiting import wait_for

#: Starts all of it over a stack that does not run, and waits.
SCRIPT = """
import sys, time
from pathlib import Path
from loadtests.release.site import Site
from services.local.options import private
from services.local.stack import LocalStack
from tests.monitoring.watching import prometheus_over

folder = Path(sys.argv[1])
site = Site(folder, print)
site.stack = LocalStack(private(folder / "run"))
site.start_watch()
with prometheus_over({}, folder / "prometheus"), site.traffic(0.1):
    print("started", flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="Prometheus is not installed")
def test_what_it_started_ends_with_a_test_that_is_ended(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    with subprocess.Popen(command, cwd=REPOSITORY_ROOT, stdout=subprocess.PIPE) as test:
        assert test.stdout is not None
        assert test.stdout.readline() == b"started\n"
        children = psutil.Process(test.pid).children()
        said = " ".join(word for child in children for word in child.cmdline())
        for name in ("release watch", "prometheus.json", "loadtests.release.sender"):
            assert name in said
        test.terminate()
    wait_for(lambda: all(map(_gone, children)))


def _gone(process: psutil.Process) -> bool:
    """Whether it has ended; nobody may have collected it."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
