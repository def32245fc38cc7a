"""The local Triton's own Python environment, made and checked by code.

NVIDIA's wheel `nvidia-pytriton` carries the real `tritonserver` and its Python backend. It wants a
numpy of its own, so it lives in a virtual environment apart from the services', just as it is an
image apart in a cluster. Beside it lies the backend directory that the server is given:

    <root>/backends/python/        NVIDIA's Python backend and the stub of this Python version
    <root>/backends/onnxruntime/   Copyist's Python-based stand-in for the C++ backend
    <root>/libpython/              the shared library of this Python, which the stub links to
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.errors import CopyistError
from services.triton import libpython

REPOSITORY_ROOT: Final = Path(__file__).resolve().parents[2]
DEFAULT_ROOT: Final = REPOSITORY_ROOT / ".venv-triton"
REQUIREMENTS: Final = tuple(
    REPOSITORY_ROOT / "requirements" / name for name in ("triton.txt", "triton-server.txt")
)

_BACKENDS: Final = Path(__file__).resolve().parent / "backends"
_PYTHON: Final = f"{sys.version_info.major}.{sys.version_info.minor}"
#: Raise by one when the folders above change, so that environments made before are made again.
_LAYOUT: Final = 1

Report = Callable[[str], None]


class TritonEnvironmentError(CopyistError):
    """The local Triton's environment is missing, or could not be made."""

    slug = "triton-environment"
    title = "The local Triton's environment is not usable"


@dataclass(frozen=True, slots=True)
class TritonEnvironment:
    """Where the parts of a prepared environment lie.

    Attributes:
        root: the virtual environment's folder.
    """

    root: Path

    @property
    def packages(self) -> Path:
        """The environment's site-packages."""
        return self.root / "lib" / f"python{_PYTHON}" / "site-packages"

    @property
    def server(self) -> Path:
        """The `tritonserver` program."""
        return self.packages / "pytriton" / "tritonserver" / "bin" / "tritonserver"

    @property
    def backends(self) -> Path:
        """What `--backend-directory` is given."""
        return self.root / "backends"

    def variables(self) -> dict[str, str]:
        """Environment variables for the server: this process's, changed so that it finds its own Python."""
        variables = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
        libraries = (self.packages / "nvidia_pytriton.libs", self.root / "libpython")
        variables["LD_LIBRARY_PATH"] = os.pathsep.join(map(str, libraries))
        variables["PATH"] = os.pathsep.join((str(self.root / "bin"), os.environ.get("PATH", os.defpath)))
        variables["VIRTUAL_ENV"] = str(self.root)
        return variables

    def is_complete(self) -> bool:
        """Whether the environment was made to its end, for these very requirements and this Python."""
        try:
            stamp = self._stamp.read_text()
        except OSError:
            return False
        library = self.root / "libpython" / libpython.LIBRARY
        return stamp == _fingerprint() and self.server.is_file() and library.exists()

    @property
    def _stamp(self) -> Path:
        return self.root / "complete"


def find(root: Path = DEFAULT_ROOT) -> TritonEnvironment:
    """The environment at `root`, which must have been prepared.

    Raises:
        TritonEnvironmentError: it is missing, half made, or made for other requirements.
    """
    environment = TritonEnvironment(root)
    if not environment.is_complete():
        raise TritonEnvironmentError(
            f"Triton's environment {root} is missing or out of date.", remedy="Run `make setup`."
        )
    return environment


def prepare(root: Path = DEFAULT_ROOT, report: Report = print) -> TritonEnvironment:
    """Make the environment at `root` unless it is there already; safe when two do it at once.

    Raises:
        TritonEnvironmentError: it cannot be made; the message says why.
    """
    environment = TritonEnvironment(root)
    if environment.is_complete():
        return environment
    root.mkdir(parents=True, exist_ok=True)
    with _locked(root, report):
        if environment.is_complete():  # another process made it while this one waited
            return environment
        started = time.monotonic()
        _clear(root)
        report(f"Triton: making its environment in {root}")
        _run([sys.executable, "-m", "venv", str(root)])
        _provide_libpython(root / "libpython", report)
        report("Triton: installing the server and onnxruntime (about 90 MB, once)")
        pip = [str(root / "bin" / "python"), "-m", "pip", "install", "--no-deps", "--no-warn-script-location"]
        _run([*pip, *(f"--requirement={file}" for file in REQUIREMENTS)])
        _lay_out(environment)
        environment._stamp.write_text(_fingerprint())
        report(f"Triton: its environment is ready after {time.monotonic() - started:.0f} s")
    return environment


def _provide_libpython(folder: Path, report: Report) -> None:
    try:
        libpython.provide(folder, report)
    except FileNotFoundError as error:
        raise TritonEnvironmentError(
            f"This Python has no shared library {libpython.LIBRARY}, which Triton's Python backend needs.",
            remedy=f"On Debian or Ubuntu: apt-get install libpython{_PYTHON}",
        ) from error


def _lay_out(environment: TritonEnvironment) -> None:
    """Put the backend directory together out of the wheel's parts and Copyist's backend."""
    wheel = environment.packages / "pytriton" / "tritonserver"
    python = environment.backends / "python"
    python.mkdir(parents=True)
    # Triton refuses a backend library that is a link, and the stub finds its libraries from where it lies.
    shutil.copy2(wheel / "backends" / "python" / "libtriton_python.so", python)
    shutil.copy2(wheel / "backends" / "python" / "triton_python_backend_utils.py", python)
    stub = wheel / "python_backend_stubs" / _PYTHON / "triton_python_backend_stub"
    if not stub.is_file():
        raise TritonEnvironmentError(
            f"the Triton wheel has no Python backend for Python {_PYTHON}.", remedy="Use Python 3.11."
        )
    (python / stub.name).symlink_to(stub)
    for backend in _BACKENDS.iterdir():
        (environment.backends / backend.name).symlink_to(backend, target_is_directory=True)


def _fingerprint() -> str:
    """Names what an environment depends on; an environment with another fingerprint is made again."""
    lines = [line.split("#")[0].strip() for file in REQUIREMENTS for line in file.read_text().splitlines()]
    content = f"{_LAYOUT} {sys.version} {sys.base_prefix} {_BACKENDS} {' '.join(filter(None, lines))}"
    return hashlib.sha256(content.encode()).hexdigest()


def _clear(root: Path) -> None:
    for entry in root.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _run(command: list[str]) -> None:
    """Run a command whose output is its progress.

    Raises:
        TritonEnvironmentError: it failed.
    """
    if (status := subprocess.run(command, check=False).returncode) != 0:
        raise TritonEnvironmentError(
            f"`{' '.join(command)}` failed with status {status}; its output is above.",
            remedy="Mend what it reports and run `make setup` again.",
        )


@contextmanager
def _locked(root: Path, report: Report) -> Iterator[None]:
    """Hold the folder's lock; the kernel drops it when the process ends, however it ends."""
    handle = os.open(root, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("Triton: waiting for another process that is making the environment")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


if __name__ == "__main__":
    try:
        prepare()
    except CopyistError as error:
        sys.exit(f"copyist: {error}")
