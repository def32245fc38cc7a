"""Judgements shown, and the command that judges by hand."""

from __future__ import annotations

import io
import json
from pathlib import Path

import cv2
import pytest
from rich.console import Console

from pipelines.evaluation.gates.__main__ import main
from pipelines.evaluation.gates.comparison import compare
from pipelines.evaluation.gates.gate import Judgement
from pipelines.evaluation.gates.models import REPOSITORY
from pipelines.evaluation.gates.quality import quality
from pipelines.evaluation.gates.report import draw, print_judgement, write_html
from pipelines.evaluation.gates.verdicts import BUDGETS, Verdict
from tests import spoiled_models
from tests.pipelines.gates.conftest import LIMIT, MakeVersion
from tests.pipelines.gates.test_comparison import pair


def worse() -> Judgement:
    champion, candidate = pair(5, 60, fall=0.1)
    comparison = compare([champion], [candidate])
    skipped = ("real recordings: there are none.",)
    return Judgement(Verdict("piano", tuple(quality(comparison, BUDGETS)), skipped), comparison)


def test_a_judgement_is_printed() -> None:
    said = io.StringIO()
    print_judgement(worse(), Console(file=said, width=160))
    text = said.getvalue()
    assert "piano: the candidate was stopped by quality" in text
    assert "polyphony thick" in text
    assert "Skipped: real recordings: there are none." in text


def test_a_judgement_is_drawn_and_written(tmp_path: Path) -> None:
    judgement = worse()
    assert judgement.comparison is not None
    draw(judgement.comparison, tmp_path / "differences.png")
    picture = cv2.imread(str(tmp_path / "differences.png"))
    assert picture is not None
    # Something is drawn in the colour of what is worse.
    assert ((picture == (0x2B, 0x39, 0xC0)).all(axis=2)).sum() > 100
    write_html(judgement, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "stopped by quality" in page
    assert "data:image/png;base64," in page
    assert Verdict.decode(judgement.verdict.encode()) == judgement.verdict
    differences = json.loads(judgement.comparison.encode())["differences"]
    assert len(differences) == len(judgement.comparison.differences)


def test_the_command_judges_by_hand(
    make_version: MakeVersion,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def command(candidate: Path) -> int:
        options = ["--limit", str(LIMIT), "--out", str(tmp_path / "out")]
        monkeypatch.setattr("sys.argv", ["gates", str(REPOSITORY / "context"), str(candidate), *options])
        return main()

    assert command(make_version("context", spoiled_models.too_large)) == 1
    assert "stopped by size" in capsys.readouterr().out
    assert not json.loads((tmp_path / "out" / "verdict.json").read_text())["passed"]
    assert (tmp_path / "out" / "report.html").exists()
    assert command(tmp_path / "nothing") == 2
    assert "is missing" in capsys.readouterr().err
