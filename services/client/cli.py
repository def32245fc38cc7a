"""The `copyist` command. Each of its commands is a module of `services.client.commands`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from io import TextIOWrapper
from typing import Final, NoReturn

import click

from services.client.commands.jobs import jobs
from services.client.commands.recognize import recognize
from services.client.commands.status import status
from services.client.commands.transcribe import transcribe
from services.errors import CopyistError

FAILED = 1
INTERRUPTED = 130

#: Commands of those who run the services, by the module that holds each; loaded only when one is asked for,
#: as they bring the services' own code along.
OPERATING: Final[Mapping[str, str]] = {
    "drift": "services.operate.drift",
    "keys": "services.operate.keys",
    "migrate": "services.operate.migrate",
    "sync": "services.operate.sync",
    "models": "pipelines.registry.command",
    "release": "services.operate.release",
    "trigger": "services.operate.trigger",
    "retrain": "pipelines.retraining.command",
    "worker": "services.operate.worker",
}


class LazyGroup(click.Group):
    """A group that also has the commands of `OPERATING`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List all commands."""
        return sorted([*super().list_commands(ctx), *filter(_is_installed, OPERATING)])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Find a command, loading it where it must be."""
        if cmd_name in OPERATING and _is_installed(cmd_name):
            command: click.Command = getattr(import_module(OPERATING[cmd_name]), cmd_name)
            return command
        return super().get_command(ctx, cmd_name)


def _is_installed(command: str) -> bool:
    """Whether the code of a command is there: the image of the services has no `pipelines`."""
    return find_spec(OPERATING[command].partition(".")[0]) is not None


@click.group(
    cls=LazyGroup,
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
copyist.add_command(jobs)


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
