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


def alerting_rules() -> list[dict[str, Any]]:
    """All alerting rules."""
    groups = [group for file in RULES for group in yaml.safe_load(file.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def file_with(
    alert: str, window: str | None, folder: Path, rules: Sequence[Path] = RULES
) -> tuple[Path, dict[str, Any]]:
    """A copy of the file that has an alert, with no other alert in it; and the alert.

    Without annotations: promtool wants to be told them too, and what they say depends on the value.
    """
    for file in rules:
        content = yaml.safe_load(file.read_text())
        every = [rule for group in content["groups"] for rule in group["rules"]]
        fitting = [
            rule for rule in every if rule.get("alert") == alert and rule["labels"].get("window") == window
        ]
        if fitting:
            (wanted,) = fitting
            for group in content["groups"]:
                group["rules"] = [rule for rule in group["rules"] if "record" in rule or rule is wanted]
            wanted.pop("annotations")
            copy = folder / file.name
            copy.write_text(yaml.safe_dump(content))
            return copy, wanted
    raise AssertionError(f"there is no alert {alert} with window {window}")


def promtool(*arguments: str | Path) -> None:
    """Run it; what it has against its input fails the test."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed (Debian's package prometheus)")
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def check_rules(
    folder: Path, tests: Sequence[dict[str, Any]], rules: Sequence[Path] = RULES, every_minutes: int = 1
) -> None:
    """Let it run unit tests of rules, in the form that Prometheus documents.

    Args:
        folder: for the file of the tests.
        tests: in Prometheus' form.
        rules: the files that are tested.
        every_minutes: how often the rules are evaluated.
    """
    file = folder / "tests.yaml"
    groups = [group["name"] for path in rules for group in yaml.safe_load(path.read_text())["groups"]]
    content = {
        "rule_files": list(map(str, rules)),
        "evaluation_interval": f"{every_minutes}m",
        # Else any group may be first, and an alert look in vain for what is only then recorded.
        "group_eval_order": groups,
        "tests": list(tests),
    }
    file.write_text(yaml.safe_dump(content))
    promtool("test", "rules", file)
