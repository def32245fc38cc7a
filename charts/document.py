"""`make chart-readme`: what of the chart is made of other files.

These are its README and the descriptions in its schema, out of comments in values.yaml, and what it has of
monitoring/: copies of the rules and dashboards, and of Alertmanager's configuration what is Copyist's.

A comment that begins with `--` describes the value below it. It becomes the value's line in the README, and
the `description` in values.schema.json, which editors show. Of what kind a value must be is written in the
schema by hand.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from charts.alerting import alertmanager_config

CHART: Final = Path(__file__).parent / "copyist"
MONITORING: Final = Path(__file__).parents[1] / "monitoring"
_KEY: Final = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z][\w-]*):")


@dataclass(frozen=True, slots=True)
class Value:
    """One value of the chart.

    Attributes:
        path: its keys, from the outermost.
        default: its default.
        description: what it means; empty where the comments do not say.
    """

    path: tuple[str, ...]
    default: Any
    description: str


def main() -> int:
    """Write the files anew; with `--check`, only say whether they are as they should be."""
    wanted = made(CHART)
    present = set(CHART.glob("files/*/*"))
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    left_over = sorted(present - wanted.keys())
    if "--check" in sys.argv[1:]:
        for path in [*stale, *left_over]:
            print(f"{path} is not as its source says: make chart-readme", file=sys.stderr)
        return int(bool(stale or left_over))
    for path in stale:
        path.parent.mkdir(exist_ok=True)
        path.write_text(wanted[path])
        print(f"wrote {path}")
    for path in left_over:
        path.unlink()
        print(f"removed {path}")
    return 0


def made(chart: Path) -> dict[Path, str]:
    """Every file of the chart that is made of others, as it should be."""
    document = schema(chart)
    copies = {
        chart / "files" / kind / path.name: path.read_text()
        for kind, pattern in (("rules", "*.yaml"), ("dashboards", "*.json"))
        for path in sorted((MONITORING / kind).glob(pattern))
    }
    alerting = alertmanager_config(yaml.safe_load((MONITORING / "alertmanager.yaml").read_text()))
    copies |= {
        chart / "files" / "alertmanager" / f"{part}.yaml": yaml.safe_dump(said, sort_keys=False)
        for part, said in alerting.items()
    }
    return copies | {
        chart / "README.md": readme(chart, document),
        chart / "values.schema.json": json.dumps(document, indent=2, ensure_ascii=False) + "\n",
    }


def described(values_file: str) -> dict[tuple[str, ...], str]:
    """The comments of values.yaml, by the path of what they describe."""
    found: dict[tuple[str, ...], str] = {}
    path: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in values_file.splitlines():
        text = line.strip()
        if text.startswith("# -- "):
            comment = [text.removeprefix("# -- ")]
        elif text.startswith("#") and comment:
            comment.append(text.removeprefix("#").strip())
        elif match := _KEY.match(line):
            indent = len(match["indent"])
            path = [(at, key) for at, key in path if at < indent] + [(indent, match["key"])]
            if comment:
                found[tuple(key for _, key in path)] = " ".join(comment)
            comment = []
        elif not text:
            comment = []
    return found


def values(chart: Path) -> list[Value]:
    """All values in their order. What is described, an empty map and a list are one value each."""
    text = (chart / "values.yaml").read_text()
    descriptions = described(text)
    return list(_leaves(yaml.safe_load(text), (), descriptions))


def _leaves(
    node: Mapping[str, Any], path: tuple[str, ...], descriptions: Mapping[tuple[str, ...], str]
) -> Iterator[Value]:
    for key, default in node.items():
        here = (*path, key)
        if isinstance(default, dict) and default and here not in descriptions:
            yield from _leaves(default, here, descriptions)
        else:
            yield Value(here, default, descriptions.get(here, ""))


def schema(chart: Path) -> dict[str, Any]:
    """The schema, with each value's description."""
    document: dict[str, Any] = json.loads((chart / "values.schema.json").read_text())
    for value in values(chart):
        if value.description:
            property_of(document, value.path)["description"] = value.description
    return document


def property_of(document: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """The part of the schema that says what may stand at a path.

    Raises:
        KeyError: the schema knows no such value.
    """
    node = document
    for key in path:
        node = _resolved(document, node)["properties"][key]
    return node


def _resolved(document: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    reference = node.get("$ref", "")
    return document["$defs"][reference.removeprefix("#/$defs/")] if reference else node


def readme(chart: Path, document: dict[str, Any]) -> str:
    """The README: its hand-written beginning, and a table of all values for each part."""
    head = (chart / "README.head.md").read_text()
    rows: dict[str, list[str]] = {}
    for value in values(chart):
        part = value.path[0] if len(value.path) > 1 else "general"
        text = value.description or property_of(document, value.path).get("description", "")
        name = ".".join(value.path)
        rows.setdefault(part, []).append(f"| `{name}` | {_default(value.default)} | {text} |")
    tables = [
        "\n".join([f"### {part}", "", "| value | default | meaning |", "|---|---|---|", *lines])
        for part, lines in rows.items()
    ]
    return "\n\n".join([head.strip(), *tables]) + "\n"


def _default(default: Any) -> str:
    text = json.dumps(default, ensure_ascii=False)
    return f"`{text}`".replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
