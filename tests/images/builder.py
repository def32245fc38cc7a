"""Builds what an image installs without Docker: does in a folder what its Dockerfile says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

from services.triton.environment import REPOSITORY_ROOT
from tests.images.dockerfile import read

#: Where the Dockerfile puts what the final stage copies.
PREFIX = "/opt/copyist"


@dataclass(frozen=True)
class Built:
    """What the final stage would hold.

    Attributes:
        root: stands for `/opt/copyist`.
        scratch: stands for `/tmp`.
    """

    root: Path
    scratch: Path

    @property
    def packages(self) -> Path:
        """Its site-packages."""
        return self.root / "lib" / "python3.11" / "site-packages"

    def environment(self) -> dict[str, str]:
        """The environment variables that a container of the image has."""
        variables = read("copyist")[-1].variables
        moved = {
            key: value.replace(PREFIX, str(self.root)).replace("/tmp", str(self.scratch))
            for key, value in variables.items()
        }
        return {**moved, "PATH": f"{self.root}/bin:/usr/bin:/bin", "TMPDIR": str(self.scratch)}

    def run(self, *command: str, timeout_s: float = 400.0) -> subprocess.CompletedProcess[str]:
        """Run a command as in a container of the image."""
        return subprocess.run(
            [str(self.root / "bin" / command[0]), *command[1:]],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            cwd=self.root,
            env=self.environment(),
            check=False,
        )


def build(folder: Path) -> Built:
    """Carry out the first stage of the services' Dockerfile, then the copies of the last one."""
    root, context, scratch = folder / "opt" / "copyist", folder / "build", folder / "tmp"
    context.mkdir()
    scratch.mkdir()
    # The base image's Python: one of its own, as the stage installs packages into it.
    base = folder / "python"
    venv.create(base, with_pip=True, symlinks=True)
    variables = {**os.environ, "PATH": f"{base / 'bin'}:{os.environ['PATH']}"}
    variables.pop("PYTHONPATH", None)
    stage, final = read("copyist")
    for instruction in stage.instructions:
        if instruction.word == "COPY":
            *sources, target = instruction.words
            for source in sources:
                _copy(REPOSITORY_ROOT / source, context / target)
        elif instruction.word == "RUN":
            # Packages that were fetched before need not be fetched again.
            command = instruction.text.replace(PREFIX, str(root)).replace("--no-cache-dir", "")
            done = subprocess.run(
                ["/bin/sh", "-ec", command],
                cwd=context,
                env=variables,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    for copy in final.all("COPY"):
        if not copy.text.startswith("--from"):
            source, target = copy.words
            _copy(REPOSITORY_ROOT / source, Path(target.replace(PREFIX, str(root))))
    assert sys.version_info[:2] == (3, 11)
    return Built(root, scratch)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    else:
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
