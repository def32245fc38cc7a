"""The figures of drift, as Prometheus' rules have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from services.amt import profile as recordings
from services.amt.contract import PIANO
from services.omr import profile as pages
from services.omr.contract import SYMBOLS
from services.operate.prometheus import Prometheus, Sample
from services.runtime.drift import LEAST_PSI, LEAST_TIMES_CHANCE, drifted
from services.runtime.profiles import Edges

#: The bins of each model's features.
EDGES: Final[Mapping[str, Edges]] = {PIANO.model: recordings.EDGES, SYMBOLS.model: pages.EDGES}
_FEATURE: Final = ("model", "version", "feature")
_CHECK: Final = ("model", "version", "check")


class Window(StrEnum):
    """How far the figures look back."""

    HOUR = "1h"
    DAY = "1d"


@dataclass(frozen=True, slots=True)
class FeatureFigures:
    """A feature's drift.

    Attributes:
        model, version, feature: whose.
        cause: what its drift comes from, as the rules have it; empty where they have none.
        psi: population stability index; NaN where nothing came.
        chance: the index that chance alone gives on average.
        observations: how many came.
        live, reference: share in each bin, smoothed.
        edges: between the bins; empty where they are not known here.
    """

    model: str
    version: str
    feature: str
    cause: str
    psi: float
    chance: float
    observations: float
    live: tuple[float, ...]
    reference: tuple[float, ...]
    edges: tuple[float, ...]

    @property
    def drifted(self) -> bool:
        """Whether this is drift."""
        return drifted(self.psi, self.chance)

    @property
    def mark(self) -> float:
        """The index above which this would be drift."""
        return max(LEAST_PSI, LEAST_TIMES_CHANCE * self.chance)


@dataclass(frozen=True, slots=True)
class CheckFigures:
    """How many results pass a check, live and in the reference, as shares; `cases` were checked."""

    model: str
    version: str
    check: str
    passed: float
    reference: float
    cases: float


@dataclass(frozen=True, slots=True)
class DriftFigures:
    """All figures of one window."""

    window: Window
    features: tuple[FeatureFigures, ...]
    checks: tuple[CheckFigures, ...]


def read_figures(prometheus: Prometheus, window: Window) -> DriftFigures:
    """Read all figures.

    Raises:
        PrometheusError: it cannot be reached.
    """
    sizes = _by(prometheus.now(f"copyist:profile_size:{window}"), _FEATURE)
    psi = _by(prometheus.now(f"copyist:psi:{window}"), _FEATURE)
    chance = _by(prometheus.now(f"copyist:psi_chance:{window}"), _FEATURE)
    causes = {
        tuple(sample.labels[name] for name in _FEATURE): sample.labels["cause"]
        for sample in prometheus.now("copyist:feature_cause")
    }
    live = _bins(prometheus.now(f"copyist:profile_share:{window}"))
    reference = _bins(prometheus.now("copyist:reference_share"))
    features = [
        FeatureFigures(
            *key,
            cause=causes.get(key, ""),
            psi=psi.get(key, float("nan")),
            chance=chance.get(key, float("inf")),
            observations=sizes.get(key, 0.0),
            live=live.get(key, ()),
            reference=bins,
            edges=EDGES.get(key[0], {}).get(key[2], ()),
        )
        for key, bins in sorted(reference.items())
    ]
    passed = _by(prometheus.now(f"copyist:passed_share:{window}"), _CHECK)
    cases = _by(prometheus.now(f"copyist:checks:{window}"), _CHECK)
    checks = [
        CheckFigures(*key, passed.get(key, float("nan")), share, cases.get(key, 0.0))
        for key, share in sorted(_by(prometheus.now("copyist:reference_passed"), _CHECK).items())
    ]
    return DriftFigures(window, tuple(features), tuple(checks))


def _by(samples: Sequence[Sample], names: tuple[str, str, str]) -> dict[tuple[str, str, str], float]:
    one, two, three = names
    return {
        (sample.labels[one], sample.labels[two], sample.labels[three]): sample.value for sample in samples
    }


def _bins(samples: Sequence[Sample]) -> dict[tuple[str, str, str], tuple[float, ...]]:
    """The values of each feature, in the order of its bins."""
    by_feature: dict[tuple[str, str, str], dict[int, float]] = {}
    for sample in samples:
        key = sample.labels["model"], sample.labels["version"], sample.labels["feature"]
        by_feature.setdefault(key, {})[int(sample.labels["bin"])] = sample.value
    return {key: tuple(bins[number] for number in sorted(bins)) for key, bins in by_feature.items()}
