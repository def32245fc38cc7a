"""Prometheus' own tool, for checking rules."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from services.triton.environment import REPOSITORY_ROOT

MONITORING: Final = REPOSITORY_ROOT / "monitoring"
RULES: Final = sorted((MONITORING / "rules").glob("*.yaml"))


def promtool(*arguments: str | Path) -> None:
    """Run it; what it has against its input fails the test."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed (Debian's package prometheus)")
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def check_rules(folder: Path, tests: Sequence[dict[str, Any]], rules: Sequence[Path] = RULES) -> None:
    """Let it run unit tests of rules, in the form that Prometheus documents."""
    file = folder / "tests.yaml"
    content = {"rule_files": list(map(str, rules)), "evaluation_interval": "1m", "tests": list(tests)}
    file.write_text(yaml.safe_dump(content))
    promtool("test", "rules", file)
