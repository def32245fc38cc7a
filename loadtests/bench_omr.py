"""How fast is a page read, and where does the time go? `make bench-omr` prints it.

A clean page of piano music at 200 dpi goes through the whole service over HTTP, several times; then a PDF of
20 such pages. Beside the time on the clock stands the CPU time of the service and of Triton together: on a
machine that is busy with other things, that is what tells.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import pypdfium2

from loadtests.footprint import uses_of
from services.client import Copyist
from services.client.pages import Recognition
from services.local.stack import LocalStack
from services.music.engraving import engrave
from services.music.musicxml import write_musicxml
from services.music.notate import NotationOptions, notate
from tests.music.examples import march

DPI = 200
PAGES = 20
#: More than fill the pages: chords in the left hand, a melody of eighths and quarters in the right.
BARS = 900
FORMATS = ("musicxml", "midi")


def engraved_pages() -> bytes:
    """A PDF of `PAGES` full pages of piano music."""
    pdf = engrave(write_musicxml(notate(march(BARS), NotationOptions())), svg=False).pdf
    document = pypdfium2.PdfDocument(pdf)
    if len(document) <= PAGES:
        raise RuntimeError(f"{BARS} bars fill only {len(document)} pages")
    for index in reversed(range(PAGES, len(document))):
        del document[index]
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def picture_of(pdf: bytes, index: int) -> bytes:
    """A page of a PDF at `DPI`, as a PNG."""
    picture = pypdfium2.PdfDocument(pdf)[index].render(scale=DPI / 72, grayscale=True).to_pil()
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


@dataclass
class Runs:
    """What several runs of the same work cost.

    Attributes:
        clock_s: on the clock, over HTTP.
        cpu_s: of the service's and Triton's processes.
        answers: what came back.
    """

    clock_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    answers: list[Recognition] = field(default_factory=list)

    def add(self, stack: LocalStack, copyist: Copyist, upload: bytes) -> None:
        """Run once more."""
        before, began = cpu_s(stack), time.perf_counter()
        self.answers.append(copyist.recognize(upload, formats=FORMATS))
        self.clock_s.append(time.perf_counter() - began)
        self.cpu_s.append(cpu_s(stack) - before)


def cpu_s(stack: LocalStack) -> float:
    """CPU seconds that the page service and Triton have used so far, children that ended included."""
    uses = uses_of(stack.state())
    return sum(uses[name].cpu_s for name in ("triton", "omr"))


def row(name: str, values: Sequence[float], unit: str = "s") -> str:
    """One line of a table: median and range."""
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"  {name:44}{middle:8.2f} {unit}   ({low:.2f} to {high:.2f})"


def table(title: str, runs: Runs, pages: int) -> None:
    """Print what runs cost."""
    last = runs.answers[-1]
    staves = sum(len(system.staves) for page in last.pages for system in page.systems)
    print(f"\n{title}: {staves} staves, {len(last.notes)} notes; median of {len(runs.clock_s)} (range):")
    print(row("on the clock, over HTTP", runs.clock_s))
    print(row("CPU of the service and Triton", runs.cpu_s))
    if pages > 1:
        print(row("on the clock, a page", [s / pages for s in runs.clock_s]))
        print(row("CPU, a page", [s / pages for s in runs.cpu_s]))
    for stage in last.timings_s:
        print(row(f"    {stage}", [answer.timings_s[stage] for answer in runs.answers]))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    pdf = engraved_pages()
    picture = picture_of(pdf, 1)
    one, many = Runs(), Runs()
    with LocalStack(report=print) as stack, Copyist(pages_url=stack.omr_http_url) as copyist:
        copyist.recognize(picture)  # warm up
        for number in range(args.rounds):
            print(f"round {number + 1} of {args.rounds}", flush=True)
            one.add(stack, copyist, picture)
        many.add(stack, copyist, pdf)
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    print(f"{os.cpu_count()} cores, load average {load}")
    table(f"One page at {DPI} dpi", one, 1)
    table(f"A PDF of {PAGES} pages (stages are sums over pages, several at once)", many, PAGES)


if __name__ == "__main__":
    main()
