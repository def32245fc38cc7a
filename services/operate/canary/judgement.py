"""The judgement of a canary: whether there is enough to tell, and what is worse than with the stable one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from services.operate.canary.figures import Cases, Figures
from services.operate.canary.statistics import chance_distance, distance, more_often_bad, slower
from services.runtime.drift import LEAST_PSI, LEAST_TIMES_CHANCE, chance_level, drifted

#: Nothing is held against a canary that one as good as the stable version shows more often than this, in one
#: look at one figure. A canary is looked at many times: `python -m loadtests.release.power` tells how often a
#: good one is rolled back.
CHANCE: Final = 1e-4
#: A canary's calls may fail so much more often, as a share of all.
MORE_ERRORS: Final = 0.01
#: So much more of what is found may fail a check, as a share of all.
MORE_INVALID: Final = 0.05
#: Calls may take so many times as long on average.
TIMES_SLOWER: Final = 1.3
#: So many more calls, as a share of all, may take so many times as long as nearly all of the stable ones do.
MORE_STUCK: Final = 0.02
TIMES_STUCK: Final = 2.0
NEARLY_ALL: Final = 0.99
#: The first calls of a version that was just loaded may be slow.
FIRST_SAMPLES: Final = 5
#: A canary's answers may be so many times as far off its own reference as the stable version's off its own.
TIMES_DRIFT: Final = 2.0


class Kind(StrEnum):
    """In what a canary does badly."""

    ERRORS = "errors"
    LATENCY = "latency"
    VALIDITY = "validity"
    CONTENT = "content"
    NOT_READY = "not-ready"


@dataclass(frozen=True, slots=True)
class Finding:
    """One comparison.

    Attributes:
        kind: in what.
        what: the figure's name, such as `confidence`.
        canary, stable: the figure of either; of CONTENT the canary's distance from the stable version, and
            the distance that it may have.
        breach: whether the canary is worse by more than it may be, and by more than chance.
    """

    kind: Kind
    what: str
    canary: float
    stable: float
    breach: bool

    def __str__(self) -> str:
        """Tell it to people."""
        if self.kind is Kind.CONTENT:
            return f"{self.what}: PSI against the stable version {self.canary:.2f}, limit {self.stable:.2f}"
        if self.what == MEAN:
            return f"{self.what} {self.canary:.3g} s, with the stable version {self.stable:.3g} s"
        return f"{self.what} {self.canary:.1%}, with the stable version {self.stable:.1%}"


#: What findings are called that are not of a check or feature.
FAILED: Final = "failed calls"
MEAN: Final = "mean time of a call"
STUCK: Final = "calls that got stuck"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What can be said of a canary.

    Attributes:
        samples, stable_samples: independent samples of the canary, and of the stable version.
        findings: all comparisons that could be made.
    """

    samples: float
    stable_samples: float
    findings: tuple[Finding, ...]

    @property
    def breaches(self) -> tuple[Finding, ...]:
        """What is worse."""
        return tuple(finding for finding in self.findings if finding.breach)

    def enough(self, samples: int) -> bool:
        """Tell whether there is so much of both versions that finding no breach says something."""
        return min(self.samples, self.stable_samples) >= samples


def judge(canary: Figures, stable: Figures) -> Judgement:
    """Compare a canary with its stable version; breaches may be told from few samples, not their absence."""
    return Judgement(
        canary.samples,
        stable.samples,
        (
            *_errors(canary, stable),
            *_latency(canary, stable),
            *_validity(canary, stable),
            *_content(canary, stable),
        ),
    )


def _errors(canary: Figures, stable: Figures) -> Iterator[Finding]:
    if canary.calls.all and stable.calls.all:
        yield _proportion(Kind.ERRORS, FAILED, canary.calls, stable.calls, MORE_ERRORS)


def _latency(canary: Figures, stable: Figures) -> Iterator[Finding]:
    one, other = canary.durations, stable.durations
    samples = canary.samples, stable.samples
    if not one.calls or not other.calls or canary.samples < FIRST_SAMPLES:
        return
    ratio = one.mean_s / other.mean_s if other.mean_s else 0.0
    breach = ratio > TIMES_SLOWER and slower(one, other, TIMES_SLOWER, samples) < CHANCE
    yield Finding(Kind.LATENCY, MEAN, one.mean_s, other.mean_s, breach)
    long_s = TIMES_STUCK * other.at_most(NEARLY_ALL)
    edge_s = next((edge_s for edge_s in other.edges_s if edge_s >= long_s), None)
    if edge_s is not None and one.edges_s == other.edges_s:
        yield _proportion(
            Kind.LATENCY,
            STUCK,
            _of_samples(one.within(edge_s), samples[0]),
            _of_samples(other.within(edge_s), samples[1]),
            MORE_STUCK,
        )


def _validity(canary: Figures, stable: Figures) -> Iterator[Finding]:
    for check in sorted(canary.checks.keys() & stable.checks.keys()):
        one = _of_samples(canary.checks[check], canary.samples)
        other = _of_samples(stable.checks[check], stable.samples)
        if one.all and other.all:
            yield _proportion(Kind.VALIDITY, f"{check} failed", one, other, MORE_INVALID)


def _content(canary: Figures, stable: Figures) -> Iterator[Finding]:
    for feature in sorted(canary.features.keys() & stable.features.keys()):
        one, other = canary.features[feature], stable.features[feature]
        sizes = sum(one), sum(other)
        if len(one) != len(other) or not all(sizes):
            continue  # other bins: another code counted them
        apart = distance(one, other)
        limit = max(LEAST_PSI, chance_distance(len(one), sizes, CHANCE))
        breach = apart > limit and not _expected(feature, canary, stable)
        yield Finding(Kind.CONTENT, feature, apart, limit, breach)


def _expected(feature: str, canary: Figures, stable: Figures) -> bool:
    """Tell whether the canary's own reference foretells its answers as well as the stable version's does.

    Another model may well be surer, or hear more: then its card says so. Where what comes in has drifted,
    both versions are off their references.
    """
    own = _off_reference(feature, canary)
    if own is None:
        return False
    psi, chance = own
    if not drifted(psi, chance):
        return True
    others = _off_reference(feature, stable)
    return others is not None and psi <= TIMES_DRIFT * max(others[0], LEAST_PSI, LEAST_TIMES_CHANCE * chance)


def _off_reference(feature: str, figures: Figures) -> tuple[float, float] | None:
    """Give the PSI of a version's answers against its own reference, if it has one, and its chance level."""
    mass, reference = figures.features[feature], figures.reference.get(feature, ())
    if len(reference) != len(mass) or not figures.reference_size:
        return None
    size = figures.reference_size
    return distance(mass, [share * size for share in reference]), chance_level(len(mass), sum(mass), size)


def _of_samples(cases: Cases, samples: float) -> Cases:
    """Count cases of one sample as one: they are alike, so that many of them tell no more than one."""
    factor = min(1.0, samples / cases.all) if cases.all else 0.0
    return Cases(cases.good * factor, cases.all * factor)


def _proportion(kind: Kind, what: str, canary: Cases, stable: Cases, more: float) -> Finding:
    breach = canary.bad_share > stable.bad_share + more and more_often_bad(canary, stable) < CHANCE
    return Finding(kind, what, canary.bad_share, stable.bad_share, breach)
