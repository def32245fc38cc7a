"""`python -m services.trigger.guarded FOLDER DESCRIPTOR COMMAND...`: runs what may run once at a time.

DESCRIPTOR is an open file that whoever starts this has locked. Command and guard both keep it open, so that
the lock lasts until both have ended, however they end. What the command writes is added to FOLDER's `log`;
the status that it exits with is written to `status`, so that it is known to whoever asks later. A command
that was killed, or that says that it cannot run now, leaves none: it has not come to its end.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

LOG: Final = "log"
STATUS: Final = "status"
#: Exit status of a command that may succeed later (sysexits.h: EX_TEMPFAIL).
NOT_NOW: Final = 75


def main(arguments: Sequence[str]) -> int:
    """Run the command; gives its exit status, which is negative where a signal ended it."""
    folder, descriptor, command = Path(arguments[0]), int(arguments[1]), arguments[2:]
    with (folder / LOG).open("ab") as log:
        status = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[descriptor], check=False
        ).returncode
    if status >= 0 and status != NOT_NOW:
        part = folder / f"{STATUS}.part"
        part.write_text(str(status))
        part.replace(folder / STATUS)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
