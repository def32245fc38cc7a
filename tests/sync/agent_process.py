"""The agent as `copyist sync` runs it, but in more of a hurry; it may be killed at one of its steps.

python -m tests.sync.agent_process FOLDER [STEP MODEL]
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import Any, Final

from services.runtime.release.artefacts import Artefacts
from services.runtime.settings import Settings
from services.sync import folder, program
from services.sync.folder import ModelFolder
from services.sync.leaving import Leaving
from services.sync.server import TritonServer

QUIET_S: Final = 1.0


def die() -> None:
    """End at once, as by a lack of memory or a failing machine."""
    os.kill(os.getpid(), signal.SIGKILL)


def killed_before(act: Callable[..., Any], model: str) -> Callable[..., Any]:
    @wraps(act)
    def killed(self: Any, *arguments: Any) -> Any:
        if model in str(arguments):
            die()
        return act(self, *arguments)

    return killed


def killed_after(act: Callable[..., Any], model: str) -> Callable[..., Any]:
    @wraps(act)
    def killed(self: Any, *arguments: Any) -> Any:
        found = act(self, *arguments)
        if model in str(arguments) and found is not False:
            die()
        return found

    return killed


#: What the agent does one after another with a version that is released.
STEPS: Final[dict[str, Callable[[str], None]]] = {
    "before it is fetched": lambda model: setattr(Artefacts, "fetch", killed_before(Artefacts.fetch, model)),
    "fetched aside": lambda model: setattr(Artefacts, "fetch", killed_after(Artefacts.fetch, model)),
    "in its place": lambda model: setattr(ModelFolder, "place", killed_after(ModelFolder.place, model)),
    "loaded": lambda model: setattr(TritonServer, "load", killed_after(TritonServer.load, model)),
    "named on the disk": lambda model: setattr(ModelFolder, "name", killed_after(ModelFolder.name, model)),
    "half of the old removed": lambda model: setattr(folder, "shutil", HalfRemoving()),
}


class HalfRemoving:
    """`shutil`, but that it ends the process once it has removed the first file."""

    def rmtree(self, path: Path, ignore_errors: bool = False) -> None:
        if ignore_errors:
            shutil.rmtree(path, ignore_errors=True)
            return
        next(path.iterdir()).unlink()
        die()


if __name__ == "__main__":
    program.Leaving = partial(Leaving, quiet_s=QUIET_S)  # type: ignore[misc, assignment]
    if len(sys.argv) > 2:
        STEPS[sys.argv[2]](sys.argv[3])
    program.run_sync(Settings.from_environment(), Path(sys.argv[1]))
