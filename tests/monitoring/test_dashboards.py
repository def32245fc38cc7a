"""The dashboards are what their descriptions say, and their queries are understood."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitoring.boards import DASHBOARDS
from monitoring.grafana import FOLDER, Dashboard, written
from tests.monitoring.promtool import RULES, promtool


def queries() -> list[str]:
    """Every expression of every panel."""
    panels = [panel for board in DASHBOARDS for row in board.rows for panel in row.panels]
    return [expression for panel in panels for expression in panel.queries.values()]


@pytest.mark.parametrize("board", DASHBOARDS, ids=lambda board: board.uid)
def test_the_file_is_what_is_described(board: Dashboard) -> None:
    assert json.loads((FOLDER / f"{board.uid}.json").read_text("utf-8")) == written(board)


def test_there_is_no_other_file() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == {board.uid for board in DASHBOARDS}


@pytest.mark.parametrize("board", DASHBOARDS, ids=lambda board: board.uid)
def test_panels_have_their_own_ids_and_places(board: Dashboard) -> None:
    panels: list[dict[str, Any]] = written(board)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        taken |= cells


def test_prometheus_understands_every_query(tmp_path: Path) -> None:
    rules = [{"record": f"q:{number}", "expr": query} for number, query in enumerate(queries())]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    promtool("check", "rules", file)


def test_what_is_asked_of_recorded_figures_is_recorded() -> None:
    groups = [group for file in RULES for group in yaml.safe_load(file.read_text())["groups"]]
    recorded = {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}
    for query in queries():
        assert set(re.findall(r"copyist:[\w:]+", query)) <= recorded, query
