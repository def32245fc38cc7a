"""What a load test found, as a table for people, and as JSON, CSV and a picture."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from loadtests.footprint import Footprint, Use
from loadtests.records import DONE, NOT_SENT, REFUSED, Latencies, Record, Summary, summaries


@dataclass(frozen=True, slots=True)
class Report:
    """A finished test.

    Attributes:
        settings: how it was run: mode, rate, duration, mix, seed, cores.
        seconds: from the first planned arrival until the last answer.
        records: what became of the requests.
        footprints: what each program used; empty where that could not be seen.
        uses: the same over time, in seconds from the start.
    """

    settings: Mapping[str, Any]
    seconds: float
    records: Sequence[Record]
    footprints: Mapping[str, Footprint]
    uses: Sequence[tuple[float, Mapping[str, Use]]]

    @property
    def summaries(self) -> list[Summary]:
        """By kind, and of all."""
        return summaries(self.records, self.seconds)

    @property
    def failures(self) -> int:
        """Requests that were sent and neither answered well nor refused with 429."""
        return sum(record.outcome not in (DONE, REFUSED, NOT_SENT) for record in self.records)


def table(report: Report) -> list[str]:
    """Lines for people; times in seconds, memory in MiB."""
    head = ("", "sent", "done", "/s", "p50", "p95", "p99", "429s", "p50", "p99", "not sent", "errors")
    rows = [head, *(_cells(each) for each in report.summaries)]
    lines = ["".join(f"{cell:<22}" if n == 0 else f"{cell:>9}" for n, cell in enumerate(row)) for row in rows]
    late = Latencies.of([r.late_s for r in report.records if r.outcome != NOT_SENT])
    lines += [
        "",
        f"sent later than planned (part of the latency): p50 {late.p50:.3f} s, p99 {late.p99:.3f} s",
    ]
    for name, count in (report.summaries[-1].errors).items():
        lines.append(f"error: {name}, {count} times")
    if report.footprints:
        lines += ["", f"{'':22}{'RSS start':>11}{'peak':>9}{'end':>9}{'CPU s':>9}{'cores':>9}"]
    for name, use in report.footprints.items():
        lines.append(
            f"{name:<22}{use.start_mib:>11.0f}{use.peak_mib:>9.0f}{use.end_mib:>9.0f}{use.cpu_s:>9.1f}"
            f"{use.cpu_s / report.seconds:>9.2f}"
        )
    return lines


def _cells(each: Summary) -> tuple[str, ...]:
    return (
        each.name,
        str(each.sent),
        str(each.done),
        f"{each.per_second:.2f}",
        *(_seconds(s) for s in (each.latency.p50, each.latency.p95, each.latency.p99)),
        str(each.refused),
        *(_seconds(s) for s in (each.refusal.p50, each.refusal.p99)),
        str(each.not_sent),
        str(sum(each.errors.values())),
    )


def _seconds(value: float) -> str:
    return "-" if value != value else f"{value:.2f}"  # noqa: PLR0124 - NaN


def write(report: Report, folder: Path, name: str) -> list[Path]:
    """Write the test as `NAME.json` (all of it), `NAME.csv` (a line a request) and `NAME.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.{suffix}" for suffix in ("json", "csv", "png")]
    paths[0].write_text(json.dumps(_plain(report), indent=1, allow_nan=False))
    with paths[1].open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(("kind", "planned_s", "late_s", "latency_s", "outcome"))
        lines.writerows((r.kind.name, r.planned_s, r.late_s, r.latency_s, r.outcome) for r in report.records)
    draw(report, paths[2])
    return paths


def _plain(report: Report) -> dict[str, Any]:
    whole = {
        "settings": dict(report.settings),
        "seconds": report.seconds,
        "kinds": [asdict(each) for each in report.summaries],
        "programs": {name: asdict(each) for name, each in report.footprints.items()},
        "uses": [{"at_s": at, **{n: asdict(use) for n, use in uses.items()}} for at, uses in report.uses],
        "requests": [{**asdict(record), "kind": record.kind.name} for record in report.records],
    }
    return {name: _without_nan(value) for name, value in whole.items()}


def _without_nan(value: Any) -> Any:
    """JSON knows no NaN: what could not be measured is null."""
    if isinstance(value, dict):
        return {name: _without_nan(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and value != value else value  # noqa: PLR0124 - NaN


def draw(report: Report, path: Path) -> None:
    """Draw latencies over the time at which requests were planned, and the programs' memory below."""
    from matplotlib.figure import Figure  # takes a second to load  # noqa: PLC0415

    figure = Figure(figsize=(11, 8), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    colours = {("recording", "short"): "C0", ("recording", "long"): "C3"}
    colours |= {("page", "short"): "C2", ("page", "long"): "C1"}
    for kind in sorted({record.kind for record in report.records}):
        done = [r for r in report.records if r.kind == kind and r.outcome == DONE]
        marker = {"http": "o", "grpc": "s", "job": "^"}[kind.way]
        xs, ys = [r.planned_s for r in done], [r.latency_s for r in done]
        above.scatter(xs, ys, s=14, marker=marker, color=colours[kind.subject, kind.length], label=kind.name)
    for label, colour, outcomes in (("429", "grey", (REFUSED,)), ("error", "red", None)):
        bad = [
            r
            for r in report.records
            if (r.outcome in outcomes if outcomes else r.outcome not in (DONE, REFUSED, NOT_SENT))
        ]
        if bad:
            above.scatter(
                [r.planned_s for r in bad],
                [r.latency_s for r in bad],
                s=16,
                marker="x",
                color=colour,
                label=label,
            )
    above.set(yscale="log", ylabel="seconds from the planned time to the answer")
    above.grid(alpha=0.3)
    above.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize="small")
    for name in report.footprints:
        seen = [(at, uses[name].rss_bytes / 2**20) for at, uses in report.uses if name in uses]
        below.plot([at for at, _ in seen], [mib for _, mib in seen], label=name)
    below.set(xlabel="seconds", ylabel="RSS, MiB", ylim=(0, None))
    if report.footprints:
        below.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize="small")
    figure.suptitle(", ".join(f"{name} {value}" for name, value in report.settings.items() if name != "mix"))
    figure.savefig(path, dpi=110)
