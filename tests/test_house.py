"""Rules of the whole house: what serving may install and import, and that its parts keep their layers."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from services.local.options import StackOptions
from services.runtime.settings import PREFIX, Settings
from services.triton.environment import REPOSITORY_ROOT

TRAINING_FRAMEWORKS = ("torch", "tensorflow", "keras", "jax")
SERVICES = REPOSITORY_ROOT / "services"


def imported(file: Path) -> set[str]:
    """Names of the modules that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("lock", ["serving.txt", "test.txt", "triton.txt", "triton-server.txt"])
def test_no_training_framework_is_locked_for_serving(lock: str) -> None:
    lines = (REPOSITORY_ROOT / "requirements" / lock).read_text().splitlines()
    packages = {line.split("==")[0].strip().lower() for line in lines}
    assert packages
    assert packages.isdisjoint(TRAINING_FRAMEWORKS)


def test_the_services_load_no_training_framework() -> None:
    modules = [
        ".".join(file.relative_to(REPOSITORY_ROOT).with_suffix("").parts).removesuffix(".__init__")
        for file in sorted(SERVICES.rglob("*.py"))
        # The one is run by Triton, the other by Alembic.
        if "backends" not in file.parts
        and file.name != "__main__.py"
        and file.parts[-2:] != ("migrations", "env.py")
    ]
    assert {"services.amt.service", "services.omr.service"} <= set(modules)
    script = (
        "import importlib, sys\n"
        f"for module in {modules!r}: importlib.import_module(module)\n"
        f"print(*(set({TRAINING_FRAMEWORKS!r}) & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=REPOSITORY_ROOT
    )
    assert result.stdout.strip() == ""


@pytest.mark.parametrize(
    ("part", "strangers"),
    [
        (
            "music",
            (
                *("services.runtime", "services.amt", "services.omr"),
                *("services.client", "services.triton", "services.local"),
            ),
        ),
        (
            "runtime",
            (
                *("services.music", "services.amt", "services.omr"),
                *("services.client", "services.triton", "services.local"),
            ),
        ),
        (
            "cluster",
            (
                *("services.music", "services.runtime", "services.amt", "services.omr"),
                *("services.client", "services.triton", "services.local"),
            ),
        ),
        (
            "trigger",
            (
                *("services.music", "services.amt", "services.omr", "services.operate"),
                *("services.client", "services.triton", "services.local"),
            ),
        ),
        ("amt", ("services.omr", "services.client", "services.triton", "services.local")),
        ("omr", ("services.amt", "services.client", "services.triton", "services.local")),
        ("triton", ("services.music", "services.amt", "services.omr", "services.client", "services.local")),
        (".", ("pipelines", "tests", "loadtests")),
    ],
)
def test_arrows_between_parts_point_one_way(part: str, strangers: tuple[str, ...]) -> None:
    for file in (SERVICES / part).rglob("*.py"):
        for name in imported(file):
            assert not any(name == s or name.startswith(s + ".") for s in strangers), f"{file}: {name}"


def test_every_locked_version_is_exact() -> None:
    for lock in (REPOSITORY_ROOT / "requirements").glob("*.txt"):
        for line in lock.read_text().splitlines():
            requirement = line.split("#")[0].strip()
            assert not requirement or "==" in requirement, f"{lock.name}: {line}"


def test_the_page_for_operators_tells_every_setting_and_its_default() -> None:
    page = (REPOSITORY_ROOT / "docs" / "operations.md").read_text()
    for setting in fields(Settings):
        default = {True: "on", False: "off"}[setting.default] if setting.type == "bool" else setting.default
        assert f"| `{PREFIX}{setting.name.upper()}` | {default} |" in page, setting.name
    for variable in StackOptions().variables:
        assert f"`{variable}`" in page, variable
