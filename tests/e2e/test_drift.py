"""Drift, from uploads to alerts: real services over a real Triton, watched by a real Prometheus.

Ordinary traffic raises nothing; traffic that is changed in one way raises the alert of its cause and no
other. The rules are those of `monitoring/`, but for how long the condition of an alert of drift must hold.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner

from services.local.stack import LocalStack
from services.operate.drift import drift
from services.runtime.drift import chance_level, psi
from services.triton.environment import REPOSITORY_ROOT
from tests.e2e.drifting import TRAFFIC, Masses, Seen, sent
from tests.monitoring.watching import EVERY_S
from tests.traffic import guitars

#: All kinds are sent by `make test-drift`; else an ordinary one, and a changed one for each model.
_SOME: Final = ("held-out pianos", "the treble cut", "photographs")
#: The versions as shipped, which answer; other tests may have tried others on the same stack.
_SHIPPED: Final = '{version="1"}'
_KINDS: Final = tuple(TRAFFIC) if os.environ.get("COPYIST_TEST_ALL_DRIFT") else _SOME

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="Prometheus is not installed"),
]


@pytest.fixture(scope="module", params=_KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """A kind of traffic."""
    if request.param == "guitars" and not guitars.installed():
        pytest.skip("FluidSynth or its sound font is not installed")
    return str(request.param)


@pytest.fixture(scope="module")
def seen(kind: str, stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """The traffic, sent and watched."""
    with sent(TRAFFIC[kind], stack, tmp_path_factory.mktemp("watching")) as outcome:
        yield outcome


def test_traffic_raises_the_alert_of_its_cause_and_no_other(kind: str, seen: Seen) -> None:
    assert seen.alerts == TRAFFIC[kind].alerts


def test_services_count_what_the_files_and_answers_tell(seen: Seen) -> None:
    for feature, masses in seen.measured.items():
        assert seen.counted[feature] == pytest.approx(masses, abs=1e-6), feature


def test_prometheus_has_what_the_services_counted(seen: Seen) -> None:
    for feature, masses in _masses(seen, datetime.now(UTC)).items():
        # Prometheus' `increase` reaches half a scrape beyond its samples at either end.
        assert masses == pytest.approx(seen.counted[feature], rel=0.1), feature


def test_the_figures_equal_those_computed_directly(kind: str, seen: Seen) -> None:
    model = TRAFFIC[kind].model
    card = json.loads((REPOSITORY_ROOT / "model_repository" / model / "card.json").read_text("utf-8"))
    size = card["profile"]["observations"]
    # All of one moment, whose evaluation has ended: as the window grows, so do its masses, a little.
    at = datetime.now(UTC) - timedelta(seconds=4 * EVERY_S)
    figures = {
        name: {
            each.labels["feature"]: each.value
            for each in seen.prometheus.now(f"copyist:{name}:1h{_SHIPPED}", at)
        }
        for name in ("psi", "psi_chance")
    }
    for feature, masses in _masses(seen, at).items():
        known = card["profile"]["features"][feature]["shares"]
        of_prometheus = figures["psi"][feature]
        assert of_prometheus == pytest.approx(psi(masses, known, size), rel=1e-9), feature
        assert figures["psi_chance"][feature] == pytest.approx(chance_level(len(known), sum(masses), size))
        assert of_prometheus == pytest.approx(psi(seen.counted[feature], known, size), rel=0.1, abs=0.02)


def test_the_report_tells_the_same(kind: str, seen: Seen, tmp_path: Path) -> None:
    page = tmp_path / "drift.html"
    told = CliRunner().invoke(
        drift, ["report", "--prometheus", seen.prometheus.url, "--html", str(page)], env={"COLUMNS": "120"}
    )
    assert told.exit_code == 0, told.output
    causes = {cause for alert, cause in TRAFFIC[kind].alerts if alert != "CopyistValidityLow"}
    rows = [line.split() for line in told.output.splitlines() if line.split()[:1] == [TRAFFIC[kind].model]]
    for each in seen.prometheus.now(f"copyist:psi:1h{_SHIPPED}"):
        (row,) = (row for row in rows if row[1:3] == ["1", each.labels["feature"]])
        assert float(row[4]) == pytest.approx(each.value, rel=0.01, abs=0.002)
    assert {row[3] for row in rows if row[-1] == "drift"} >= causes
    assert page.read_text("utf-8").count("<figure class=drift") == sum(row[-1] == "drift" for row in rows)


def _masses(seen: Seen, at: datetime) -> Masses:
    """What Prometheus had counted over the hour before a moment, in the order of the bins."""
    found: dict[str, dict[int, float]] = {}
    for each in seen.prometheus.now(f"copyist:profile_mass:1h{_SHIPPED}", at):
        found.setdefault(each.labels["feature"], {})[int(each.labels["bin"])] = each.value
    return {feature: [bins[number] for number in sorted(bins)] for feature, bins in found.items()}
