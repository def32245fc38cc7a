"""Grafana's dashboards, written as short descriptions: `python -m monitoring.grafana` writes their JSON.

A dashboard is rows of panels, a panel a title, a unit and queries; everything else (ids, places, the data
source) follows. The files in `dashboards/` are what the chart provisions; a test keeps them equal to what
this writes and asks a live Prometheus every query.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent / "dashboards"
_COLUMNS: Final = 24
_HEIGHT: Final = 8
_DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture.

    Attributes:
        title: what it shows.
        unit: Grafana's name of it, such as `s`, `percentunit`, `reqps`.
        queries: an expression of PromQL for each name of the series drawn, with labels as `{{label}}`.
        kind: Grafana's panel: `timeseries`, `stat`, `table`, `bargauge`.
        about: what to read from it.
        marks: values at which a line is drawn and the colour turns red.
    """

    title: str
    unit: str
    queries: Mapping[str, str]
    kind: str = "timeseries"
    about: str = ""
    marks: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """Panels side by side under a heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A dashboard; `uid` is its file's name, too."""

    uid: str
    title: str
    rows: tuple[Row, ...]


def quantiles(metric: str, by: str, legend: str, selector: str = "") -> dict[str, str]:
    """Median, 95th and 99th percentile of a histogram."""
    rate = f"sum by ({by}, le) (rate({metric}_bucket{{{selector}}}[5m]))"
    shares = (0.5, 0.95, 0.99)
    return {f"{legend} p{round(share * 100)}": f"histogram_quantile({share}, {rate})" for share in shares}


def written(dashboard: Dashboard) -> dict[str, Any]:
    """Make Grafana's JSON model of a dashboard."""
    panels: list[dict[str, Any]] = []
    y = 0
    for row in dashboard.rows:
        panels.append(_at(y, 0, _COLUMNS, 1) | {"type": "row", "title": row.title, "id": len(panels) + 1})
        y += 1
        width = _COLUMNS // len(row.panels)
        for column, panel in enumerate(row.panels):
            panels.append(_at(y, column * width, width, _HEIGHT) | _panel(panel, len(panels) + 1))
        y += _HEIGHT
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["copyist"],
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}
            ]
        },
        "links": [{"type": "dashboards", "tags": ["copyist"], "title": "Copyist", "asDropdown": True}],
        "panels": panels,
    }


def _at(y: int, x: int, width: int, height: int) -> dict[str, Any]:
    return {"gridPos": {"x": x, "y": y, "w": width, "h": height}}


def _panel(panel: Panel, number: int) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    steps += [{"color": "red", "value": mark} for mark in panel.marks]
    defaults: dict[str, Any] = {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.kind == "timeseries" and panel.unit != "percentunit":
        defaults["min"] = 0
    if panel.kind == "timeseries" and panel.marks:
        defaults["custom"] = {"thresholdsStyle": {"mode": "line"}}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": _DATASOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _options(panel.kind),
        "targets": [
            _target(index, legend, expression, panel.kind)
            for index, (legend, expression) in enumerate(panel.queries.items())
        ],
    }


def _options(kind: str) -> dict[str, Any]:
    if kind == "timeseries":
        return {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
    if kind == "table":
        return {"showHeader": True}
    if kind == "bargauge":
        return {
            "reduceOptions": {"calcs": ["lastNotNull"]},
            "orientation": "horizontal",
            "displayMode": "basic",
        }
    return {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "background"}


def _target(index: int, legend: str, expression: str, kind: str) -> dict[str, Any]:
    instant = {"instant": True, "range": False} if kind != "timeseries" else {}
    table = {"format": "table"} if kind == "table" else {}
    return {
        "refId": chr(ord("A") + index),
        "datasource": _DATASOURCE,
        "expr": expression,
        "legendFormat": legend,
        **instant,
        **table,
    }


def main(dashboards: Sequence[Dashboard]) -> None:
    """Write all dashboards."""
    FOLDER.mkdir(exist_ok=True)
    for dashboard in dashboards:
        path = FOLDER / f"{dashboard.uid}.json"
        path.write_text(json.dumps(written(dashboard), indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    from monitoring.boards import DASHBOARDS

    main(DASHBOARDS)
