"""A judgement shown: as a table in a terminal, as a picture, and as a page that holds both."""

from __future__ import annotations

import base64
import html
import io
import textwrap
from pathlib import Path
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.evaluation.gates.comparison import WHOLE, Comparison, Difference
from pipelines.evaluation.gates.gate import Judgement

_WORSE, _BETTER, _LIKE, _UNJUDGED = "#c0392b", "#1e8449", "#2c3e50", "#bdc3c7"
_STYLES: Final = {_WORSE: "red", _BETTER: "green", _LIKE: "", _UNJUDGED: "dim"}
_ROW_INCHES: Final = 0.24
_PAGE: Final = """\
<!doctype html>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 60em; color: #222; }}
td, th {{ text-align: left; padding: .3em .8em .3em 0; vertical-align: top; border-bottom: 1px solid #ddd; }}
.failed {{ color: {worse}; font-weight: 600; }} .passed {{ color: {better}; }} img {{ max-width: 100%; }}
</style>
<h1>{title}</h1>
<table><tr><th>gate</th><th></th><th>what was found</th></tr>
{findings}
</table>
{skipped}
{picture}
"""


def print_judgement(judgement: Judgement, console: Console) -> None:
    """Print what the gates found, and what changed beyond noise."""
    verdict = judgement.verdict
    table = Table("gate", "", "what was found", title=_title(judgement), title_justify="left")
    for finding in verdict.findings:
        mark = "[green]passed[/]" if finding.passed else "[bold red]failed[/]"
        table.add_row(finding.gate, mark, finding.text)
    console.print(table)
    if judgement.comparison:
        console.print(table_of(judgement.comparison))
    for sentence in verdict.skipped:
        console.print(f"[dim]Skipped: {sentence}[/]")


def table_of(comparison: Comparison) -> Table:
    """The candidate's figures, slice by slice, and how far they lie from the champion's.

    What is sure to differ is green or red; what has too few pieces is dim.
    """
    title = (
        f"{comparison.model}: candidate (less champion), sure at {comparison.confidence:.0%} for all together"
    )
    table = Table("test set and slice", "pieces", title=title, title_justify="left")
    measures = list(dict.fromkeys(each.measure for each in comparison.differences))
    for measure in measures:
        table.add_column(measure, justify="right")
    cells: dict[str, dict[str, Difference]] = {}
    for each in comparison.differences:
        cells.setdefault(each.where, {})[each.measure] = each
    for where, row in cells.items():
        told = [_cell(row[measure]) if measure in row else Text() for measure in measures]
        table.add_row(where, str(max(each.pieces for each in row.values())), *told)
    return table


def draw(comparison: Comparison, path: Path) -> None:
    """Draw the differences with their intervals, a column for each measure; the suffix tells the format."""
    figure_of(comparison).savefig(path, dpi=120, bbox_inches="tight")


def figure_of(comparison: Comparison) -> Figure:
    """The differences with their intervals as a figure."""
    rows = list(dict.fromkeys((each.test_set, each.slice, each.value) for each in comparison.differences))
    measures = list(dict.fromkeys(each.measure for each in comparison.differences))
    figure = Figure(figsize=(2.2 + 2.6 * len(measures), 1.2 + _ROW_INCHES * len(rows)))
    axes = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    for axis, measure in zip(axes, measures, strict=True):
        mine = [each for each in comparison.differences if each.measure == measure]
        _draw_measure(axis, measure, mine, rows)
    names = [test_set if kind == WHOLE else f"{kind}: {value}" for test_set, kind, value in rows]
    axes[0].set_yticks(range(len(rows)), names)
    axes[0].invert_yaxis()
    title = (
        f"{comparison.model}: candidate less champion, {comparison.confidence:.0%} for all figures together"
    )
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    figure.tight_layout()
    return figure


def write_html(judgement: Judgement, path: Path) -> None:
    """Write a page with all that was found and the picture in it."""
    findings = "\n".join(
        f'<tr><td>{each.gate}</td><td class="{_word(each.passed)}">{_word(each.passed)}</td>'
        f"<td>{html.escape(each.text)}</td></tr>"
        for each in judgement.verdict.findings
    )
    picture = ""
    if judgement.comparison:
        drawn = io.BytesIO()
        figure_of(judgement.comparison).savefig(drawn, format="png", dpi=110, bbox_inches="tight")
        data = base64.b64encode(drawn.getvalue()).decode()
        picture = f'<img alt="differences by slice" src="data:image/png;base64,{data}">'
    page = _PAGE.format(
        title=html.escape(_title(judgement)),
        worse=_WORSE,
        better=_BETTER,
        findings=findings,
        skipped="".join(f"<p>Skipped: {html.escape(each)}</p>" for each in judgement.verdict.skipped),
        picture=picture,
    )
    path.write_text(page, "utf-8")


def _draw_measure(
    axis: Axes, measure: str, differences: list[Difference], rows: list[tuple[str, str, str]]
) -> None:
    axis.axvline(0, color="#999999", linewidth=0.8)
    for each in differences:
        row = rows.index((each.test_set, each.slice, each.value))
        colour = _colour(each)
        if each.judged:
            axis.plot([each.low, each.high], [row, row], color=colour, linewidth=2, solid_capstyle="butt")
        axis.plot(each.difference, row, "o", color=colour, markersize=4)
    axis.set_title(textwrap.fill(measure, 18), fontsize=10)
    axis.xaxis.set_major_locator(MaxNLocator(4))
    axis.grid(axis="x", color="#eeeeee")
    axis.set_axisbelow(True)
    axis.tick_params(labelsize=8)


def _colour(difference: Difference) -> str:
    if not difference.judged:
        return _UNJUDGED
    if difference.high < 0:
        return _WORSE
    return _BETTER if difference.low > 0 else _LIKE


def _title(judgement: Judgement) -> str:
    verdict = judgement.verdict
    if verdict.passed:
        return f"{verdict.model}: the candidate passed all gates"
    return f"{verdict.model}: the candidate was stopped by {', '.join(verdict.failed_gates)}"


def _cell(difference: Difference) -> Text:
    text = f"{difference.candidate:.3f} ({difference.difference:+.3f})"
    return Text(text, style=_STYLES[_colour(difference)])


def _word(passed: bool) -> str:
    return "passed" if passed else "failed"
