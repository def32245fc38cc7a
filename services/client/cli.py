"""The `copyist` command. Each of its commands is a module of `services.client.commands`."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from typing import NoReturn

import click

from services.client.commands.recognize import recognize
from services.client.commands.status import status
from services.client.commands.transcribe import transcribe
from services.errors import CopyistError

FAILED = 1
INTERRUPTED = 130


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
The service must be running: `make up` starts one on this machine. Another is named with
--url or the environment variable COPYIST_URL.

\b
Completion for the shell: put this into ~/.bashrc (or zsh, fish instead of bash):
  eval "$(_COPYIST_COMPLETE=bash_source copyist)"
""",
)
@click.version_option(package_name="copyist")
def copyist() -> None:
    """Hears music or reads it, and writes it down: recordings or pages in, notation out."""


copyist.add_command(transcribe)
copyist.add_command(recognize)
copyist.add_command(status)


def main() -> NoReturn:
    """Run the command and exit: people get one line on what is wrong, never a trace.

    Exit statuses: 0 done, 1 something failed, 2 wrong command line, 130 interrupted.
    """
    if isinstance(sys.stdout, TextIOWrapper):  # a terminal that knows few letters is no reason to fail
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        sys.exit(copyist.main(prog_name="copyist", standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except CopyistError as error:
        print(f"copyist: {error}", file=sys.stderr)
        sys.exit(FAILED)
    except (click.Abort, KeyboardInterrupt):
        print("copyist: interrupted; finished files are kept", file=sys.stderr)
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
