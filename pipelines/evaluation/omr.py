"""Scores the reading of pages on real and made scans, photos and engravings: `make eval-omr`.

By default every page goes through a real stack over HTTP; `--local` reads in this process, without a server,
and remembers what the model saw, so that a change behind the model can be judged in seconds. Works are read
whole: all of their pages together, as `score_omr.py` compares them.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2

from pipelines.cache import cache_folder
from pipelines.evaluation.contact_sheet import write_sheets
from pipelines.evaluation.marked_pages import mark, verdicts
from pipelines.evaluation.omr_measures import align, order_f1, score_pages, score_work, scorer
from pipelines.evaluation.omr_ned import EVERYTHING, MUSIC, omr_ned
from pipelines.evaluation.omr_readers import Answer, PageFigures, Reader, ServiceReader, local_reader
from pipelines.evaluation.omr_report import Line, Staves, markdown, means, write_report
from pipelines.evaluation.omr_works import (
    IN_ORDER,
    PAGES,
    SCANNED,
    SETS,
    Truth,
    Work,
    read_musicxml,
    read_order,
    read_truth,
    works,
)
from services.local.stack import LocalStack

#: musicdiff's time for one work, in seconds, after which its column stays empty.
NED_LIMIT_S = 600.0


class Evaluation:
    """Reads works and gathers the table's lines and the coloured pages."""

    def __init__(self, reader: Reader, folder: Path, *, ned: bool) -> None:
        self._reader = reader
        self._folder = folder
        self._ned = ned
        self._scorer = scorer()
        self.lines: list[Line] = []
        self.pages: dict[str, list[tuple[str, bytes]]] = {}

    def take(self, work: Work) -> None:
        """Read a work and score it."""
        answer = self._reader(work.files)
        self._folder.mkdir(parents=True, exist_ok=True)
        if answer.musicxml is not None:
            (self._folder / f"{work.pages}-{work.name}.musicxml").write_bytes(answer.musicxml)
        if work.pages == IN_ORDER:
            self._take_in_order(work, answer)
        else:
            self._take_in_time(work, answer)

    def _take_in_order(self, work: Work, answer: Answer) -> None:
        found = read_musicxml(answer.musicxml) if answer.musicxml else ()
        f1 = order_f1(read_order(work.truth), found)
        staves = sum(page.staves for page in answer.pages)
        print(f"{work.pages} {work.name}: {staves} staves, pitches in order F1 {f1:.3f}", flush=True)
        self._keep(work, answer, [f1], {})

    def _take_in_time(self, work: Work, answer: Answer) -> None:
        truth = read_truth(work.truth)
        found = read_musicxml(answer.musicxml) if answer.musicxml else ()
        page_of = {index: page for page, each in enumerate(answer.pages) for index in each.measures}
        found_pages = [page_of.get(index, -1) for index in range(len(found))]
        pages = score_pages(self._scorer, truth, found, found_pages)
        whole = Line(
            pages=work.pages,
            name=work.name,
            page=None,
            scores=score_work(self._scorer, truth, found),
            staves=_staves(truth, answer, range(len(truth.systems))),
            adds_up=_adding_up(answer.pages),
            ned_music=self._omr_ned(work, answer, MUSIC),
            ned_everything=self._omr_ned(work, answer, EVERYTHING) if work.pages != SCANNED else None,
            seconds=answer.seconds,
        )
        by_page = [
            Line(
                pages=work.pages,
                name=work.name,
                page=page + 1,
                scores=scores,
                staves=_staves(truth, answer, [page]),
                adds_up=_adding_up(answer.pages[page : page + 1]),
            )
            for page, scores in enumerate(pages)
        ]
        self.lines += [whole, *(by_page if len(by_page) > 1 else [])]
        print(markdown([whole]).splitlines()[-1], flush=True)
        told = verdicts(truth.measures, found, align(self._scorer, truth.measures, found))
        self._keep(work, answer, [scores.note for scores in pages], told)

    def _omr_ned(self, work: Work, answer: Answer, detail: int) -> float | None:
        if not self._ned:
            return None
        return 1.0 if answer.musicxml is None else omr_ned(work.truth, answer.musicxml, detail, NED_LIMIT_S)

    def _keep(self, work: Work, answer: Answer, notes: Sequence[float], told: Mapping[int, str]) -> None:
        """Keep the coloured pages for the contact sheets, with what is wrong on them."""
        for number, page in enumerate(answer.pages, start=1):
            note = f"{notes[number - 1]:.3f}" if number <= len(notes) else "?"
            caption = f"{work.pages} {work.name} page {number}: {note}"
            marked = mark(page.overlay, page.measures, told)
            (self._folder / f"{work.pages}-{work.name}-{number}.png").write_bytes(marked)
            self.pages.setdefault(work.pages, []).append((caption, marked))


def _staves(truth: Truth, answer: Answer, pages: Sequence[int]) -> Staves:
    found = [answer.pages[page] for page in pages if page < len(answer.pages)]
    true_systems = sum(truth.systems[page] for page in pages)
    return Staves(
        found=sum(page.staves for page in found),
        true=true_systems * truth.staves,
        systems=sum(page.systems for page in found),
        true_systems=true_systems,
    )


def _adding_up(pages: Sequence[PageFigures]) -> float:
    return sum(page.adding_up for page in pages) / max(sum(len(page.measures) for page in pages), 1)


def _reader(args: argparse.Namespace, running: contextlib.ExitStack) -> Reader:
    if args.local:
        return local_reader(args.model, with_context=not args.no_context)
    return ServiceReader(args.url or running.enter_context(LocalStack(report=print)).omr_http_url)


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=Path, default=PAGES, help="folder of the pages")
    parser.add_argument("--set", action="append", choices=SETS, help="read these sets alone")
    parser.add_argument("--only", action="append", help="read works alone whose name holds this")
    parser.add_argument("--local", action="store_true", help="read in this process, without a server")
    parser.add_argument("--model", type=Path, help="with --local: an ONNX file to try")
    parser.add_argument("--no-context", action="store_true", help="with --local: do without that model")
    parser.add_argument("--url", help="a running page service; by default one is started")
    parser.add_argument("--no-ned", action="store_true", help="leave out OMR-NED, which takes minutes")
    parser.add_argument("--out", type=Path, default=cache_folder("evaluation", "omr"))
    args = parser.parse_args()
    cv2.setNumThreads(1)
    chosen = [
        work
        for work in works(args.pages)
        if work.pages in (args.set or SETS) and any(name in work.name for name in args.only or [""])
    ]
    if not chosen:
        print(f"No pages with truth in {args.pages} that were asked for.", file=sys.stderr)
        return 1
    with contextlib.ExitStack() as running:
        evaluation = Evaluation(_reader(args, running), args.out, ned=not args.no_ned)
        for work in chosen:
            evaluation.take(work)
    lines = [*evaluation.lines, *means(evaluation.lines)]
    print(markdown(lines))
    write_report(lines, args.out)
    for name, pages in evaluation.pages.items():
        print(*write_sheets(pages, args.out / f"sheet-{name}"), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
