"""The shared library of this Python, which a program that embeds Python, such as Triton's stub, links to.

Most builds of Python have it. Debian's own keeps it in a package apart, which a machine may lack; that
package can be fetched and unpacked without being installed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

_PACKAGE: Final = f"libpython{sys.version_info.major}.{sys.version_info.minor}"
LIBRARY: Final = f"{_PACKAGE}.so.1.0"


def provide(folder: Path, report: Callable[[str], None]) -> None:
    """Put the library into a folder: as a link to this Python's own, or out of Debian's package.

    Raises:
        FileNotFoundError: there is none to be had.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if (library := find()) is not None:
        (folder / LIBRARY).symlink_to(library)
        return
    if Path(sys.base_prefix) != Path("/usr") or shutil.which("apt-get") is None:
        raise FileNotFoundError(LIBRARY)
    report(f"Triton: fetching {LIBRARY} (Debian's package {_PACKAGE}; it is not installed)")
    with tempfile.TemporaryDirectory() as aside:
        try:
            fetch = ["apt-get", "--quiet", "--quiet", "download", _PACKAGE]
            subprocess.run(fetch, cwd=aside, check=True, capture_output=True)
            (package,) = Path(aside).glob("*.deb")
            subprocess.run(["dpkg-deb", "--extract", str(package), aside], check=True, capture_output=True)
            (library,) = Path(aside).rglob(LIBRARY)
        except (subprocess.CalledProcessError, ValueError) as error:
            raise FileNotFoundError(LIBRARY) from error
        shutil.copy2(library, folder)


def find() -> Path | None:
    """This Python's own library, if the machine has it."""
    folders = [sysconfig.get_config_var("LIBDIR"), Path(sys.base_prefix) / "lib"]
    if multiarch := sysconfig.get_config_var("MULTIARCH"):
        folders.append(f"/usr/lib/{multiarch}")
    places = (Path(folder) / LIBRARY for folder in folders if folder)
    return next((place for place in places if place.is_file()), None)
