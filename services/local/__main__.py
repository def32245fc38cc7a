"""`python -m services.local up|down|status|run [program...]`: what `make up` and its kin call."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace

from services.errors import CopyistError
from services.local import stack
from services.local.options import PROGRAMS, StackOptions


def _up(options: StackOptions) -> int:
    found = stack.up(options)
    print("\n".join(stack.describe(found)))
    return 0


def _down(options: StackOptions) -> int:
    stack.down(options)
    return 0


def _status(options: StackOptions) -> int:
    found = stack.state(options)
    print("\n".join(stack.describe(found)))
    return 0 if found is not None and found.ready else 1


_ACTIONS: dict[str, Callable[[StackOptions], int]] = {"up": _up, "down": _down, "status": _status}


def main() -> int:
    """Run one action; a failure is one line on standard error and exit status 1."""
    parser = argparse.ArgumentParser(
        prog="python -m services.local", description="The stack on this machine."
    )
    parser.add_argument(
        "action", choices=(*_ACTIONS, "run"), help="start, stop, show, or run in the foreground"
    )
    parser.add_argument(
        "programs", nargs="*", metavar="program", help=f"of {', '.join(PROGRAMS)}; default all"
    )
    parser.add_argument("--owner", type=int, metavar="PID", help="run: stop when this process ends")
    arguments = parser.parse_args()
    if unknown := set(arguments.programs) - set(PROGRAMS):
        parser.error(f"no such program: {', '.join(sorted(unknown))}")
    chosen = tuple(p for p in PROGRAMS if p in arguments.programs) or PROGRAMS
    try:
        options = replace(StackOptions.from_environment(), programs=chosen)
        if arguments.action == "run":
            stack.supervise(options, arguments.owner)
            return 0
        return _ACTIONS[arguments.action](options)
    except CopyistError as error:
        print(f"copyist: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
