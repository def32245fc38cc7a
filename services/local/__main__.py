"""`python -m services.local up|down|status|monitor|run [program...]`: what `make up` and its kin call."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace

from services.errors import CopyistError
from services.local import stack
from services.local.errors import StackError
from services.local.options import MONITORING, PROGRAMS, StackOptions, watching
from services.local.state import read_state


def _up(options: StackOptions) -> int:
    found = stack.up(options)
    print("\n".join(stack.describe(found)))
    return 0


def _down(options: StackOptions) -> int:
    if read_state(watching(options).run_dir) is not None:
        stack.down(watching(options))
    stack.down(options)
    return 0


def _status(options: StackOptions) -> int:
    found, watchers = stack.state(options), stack.state(watching(options))
    print("\n".join(stack.describe(found)))
    if watchers is not None:
        print("\n".join(stack.describe(watchers)))
    return 0 if found is not None and found.ready and (watchers is None or watchers.ready) else 1


def _monitor(options: StackOptions) -> int:
    if stack.state(options) is None:
        raise StackError("there is no stack to be watched.", remedy="`make up` starts one.")
    return _up(watching(options))


_ACTIONS: dict[str, Callable[[StackOptions], int]] = {
    "up": _up,
    "down": _down,
    "status": _status,
    "monitor": _monitor,
}


def main() -> int:
    """Run one action; a failure is one line on standard error and exit status 1."""
    known = (*PROGRAMS, *MONITORING)
    parser = argparse.ArgumentParser(
        prog="python -m services.local", description="The stack on this machine."
    )
    parser.add_argument(
        "action", choices=(*_ACTIONS, "run"), help="start, stop, show, watch, or run in the foreground"
    )
    parser.add_argument(
        "programs",
        nargs="*",
        metavar="program",
        help=f"of {', '.join(known)}; default the first {len(PROGRAMS)}",
    )
    parser.add_argument("--owner", type=int, metavar="PID", help="run: stop when this process ends")
    arguments = parser.parse_args()
    if unknown := set(arguments.programs) - set(known):
        parser.error(f"no such program: {', '.join(sorted(unknown))}")
    chosen = tuple(p for p in known if p in arguments.programs) or PROGRAMS
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
