"""`make fuzz`: mutants of every format to a stack of its own; exit status 1 where one did harm.

What is harm: an answer that is neither a result nor a problem of the caller's, none at all or one that took
too long, a program that stopped, memory that grew, a file left behind. Mutants that did are saved.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from services.local.options import private
from services.local.stack import LocalStack
from services.triton.environment import REPOSITORY_ROOT
from tests.fuzz.campaign import HEADINGS, Campaign, FormatReport, campaign
from tests.fuzz.quick_model import repository
from tests.fuzz.seeds import AUDIO_FORMATS, FORMATS

OUT: Final = REPOSITORY_ROOT / "out" / "fuzz"
#: Most that a program may have more after its mutants than after whole files. It is not nothing, as glibc
#: keeps what threads freed: 10,000 recordings left 96 MiB, 2000 PDFs, some of whose pages become the largest
#: that are taken, 183 MiB. A leak of a single file or picture a mutant is beyond it.
GROWTH_MIB: Final = 250
#: Seconds after the last answer until files must be gone.
SETTLE_S: Final = 3.0


def main() -> int:
    """Run the campaign, print its report, and tell whether nothing was harmed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--mutants", type=int, default=2000, help="of each format (default 2000)")
    parser.add_argument("--formats", default=",".join(FORMATS), help="separated by commas (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    kinds = arguments.formats.split(",")
    if unknown := set(kinds) - set(FORMATS):
        parser.error(f"no such format: {', '.join(sorted(unknown))}")
    for saved in [file for kind in kinds for file in OUT.glob(f"{kind}-*")]:
        saved.unlink()
    with tempfile.TemporaryDirectory(prefix="copyist-fuzz-") as folder:
        os.environ["COPYIST_REQUESTS_PER_MINUTE"] = "1000000"
        options = private(Path(folder) / "run")
        models = repository(Path(folder) / "models", options.model_repository)
        options = replace(options, model_repository=models)
        with LocalStack(options, report=print) as stack:
            return asyncio.run(_run(stack, kinds, arguments.mutants, arguments.seed))


async def _run(stack: LocalStack, kinds: list[str], mutants: int, seed: int) -> int:
    async with campaign(stack, seed=seed) as running:
        await running.warm_up(kinds)
        began, memory, files = time.perf_counter(), running.memory(), running.left_over()
        print(
            f"fuzz: {mutants} mutants of each of {len(kinds)} formats, seed {seed}\n\n{HEADINGS}", flush=True
        )
        harms: list[str] = []
        for kind in kinds:
            report = await running.attack(kind, range(mutants))
            program = "amt" if kind in AUDIO_FORMATS else "omr"
            print(f"{report.row()}{running.memory()[program]:>11.0f} MiB", flush=True)
            harms += _saved(report)
            gc.collect()
        print(f"\n{mutants * len(kinds)} mutants in {time.perf_counter() - began:.0f} s")
        await asyncio.sleep(SETTLE_S)
        harms += _harms(running, memory, files)
    print("\n".join(["", *harms]) if harms else "\nno harm done")
    return 1 if harms else 0


def _harms(running: Campaign, memory: dict[str, float], files: set[str]) -> list[str]:
    """Print what the programs have become, and tell what of it is harm."""
    harms = [f"{name} was started {starts} times" for name, starts in running.starts().items() if starts > 1]
    print(f"\nresident memory, which may grow by {GROWTH_MIB} MiB:")
    for name, after in running.memory().items():
        growth = after - memory[name]
        print(f"  {name:<12}{memory[name]:>6.0f} MiB before{after:>8.0f} MiB after{growth:>8.0f} MiB growth")
        if growth > GROWTH_MIB:
            harms.append(f"{name} grew by {growth:.0f} MiB")
    left = sorted(running.left_over() - files)
    print(f"\nfiles left in temporary folders and in the store of files: {len(left)}")
    return harms + [f"left behind: {file}" for file in left[:20]]


def _saved(report: FormatReport) -> list[str]:
    """Save the mutants that did harm, and tell of them."""
    harms = []
    for outcome in report.faults():
        sent = outcome.mutant
        OUT.mkdir(parents=True, exist_ok=True)
        file = OUT / f"{sent.kind}-{sent.number}-{outcome.answer}.{sent.kind}"
        file.write_bytes(sent.content)
        harms.append(f"{sent.kind} #{sent.number} ({sent.how}): {outcome.fault}; see {file}")
    return harms


if __name__ == "__main__":
    sys.exit(main())
