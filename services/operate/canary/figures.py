"""What is known of one version over some time: the material of a judgement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

#: Features that tell of what a model answers; the others tell of what it is given, which is the same for a
#: canary and its stable version.
CONTENT: Final = frozenset({"polyphony", "onset_rate_hz", "pitch", "symbols_per_staff", "confidence"})


@dataclass(frozen=True, slots=True)
class Cases:
    """How many cases there were, and how many of them went well."""

    good: float
    all: float

    @property
    def bad(self) -> float:
        """How many did not."""
        return self.all - self.good

    @property
    def bad_share(self) -> float:
        """The share that did not; 0 of nothing."""
        return self.bad / self.all if self.all else 0.0


@dataclass(frozen=True, slots=True)
class Durations:
    """How long calls took, as a histogram.

    Attributes:
        edges_s: upper edges of the buckets in seconds, rising; the last bucket, above them all, is open.
        counts: calls in each bucket, one more than there are edges.
        total_s: seconds of all calls together.
    """

    edges_s: tuple[float, ...] = ()
    counts: tuple[float, ...] = (0.0,)
    total_s: float = 0.0

    @property
    def calls(self) -> float:
        """How many calls."""
        return sum(self.counts)

    @property
    def mean_s(self) -> float:
        """The mean, which the histogram knows exactly; NaN of nothing."""
        return self.total_s / self.calls if self.calls else float("nan")

    @property
    def variance_s2(self) -> float:
        """The variance about the mean, taking each bucket's calls as evenly spread over it.

        The open bucket counts as if it ended at twice its lower edge.
        """
        if not self.calls:
            return float("nan")
        edges = np.array([0.0, *self.edges_s, 2 * self.edges_s[-1] if self.edges_s else 0.0])
        low, high = edges[:-1], edges[1:]
        weights = np.asarray(self.counts) / self.calls
        second_moment = float(weights @ ((low**2 + low * high + high**2) / 3))
        middle = float(weights @ ((low + high) / 2))
        return max(second_moment - middle**2, 0.0)

    def at_most(self, share: float) -> float:
        """Give the upper edge, maybe infinite, of the bucket up to which at least this share lies."""
        passed = np.cumsum(self.counts)
        bucket = int(np.searchsorted(passed, share * self.calls))
        return self.edges_s[bucket] if bucket < len(self.edges_s) else float("inf")

    def within(self, edge_s: float) -> Cases:
        """Tell how many calls took no longer than one of the edges."""
        bucket = self.edges_s.index(edge_s)
        return Cases(sum(self.counts[: bucket + 1]), self.calls)


@dataclass(frozen=True, slots=True)
class Figures:
    """What one version of a model did over some time.

    Attributes:
        version: its number.
        observations: recordings or pages that it answered; 0 for a model whose answers are not watched.
        calls: of the model server, and how many of them it answered.
        durations: of these calls.
        checks: by name, of what was found, how much passed.
        features: by name the mass in each bin, of those in CONTENT; an observation has a mass of 1.
        reference: by name the shares in each bin that the version's own card states; maybe none.
        reference_size: observations behind these.
    """

    version: str
    observations: float = 0.0
    calls: Cases = Cases(0.0, 0.0)
    durations: Durations = Durations()
    checks: Mapping[str, Cases] = field(default_factory=dict)
    features: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    reference: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    reference_size: float = 0.0

    @property
    def watched(self) -> bool:
        """Whether what the model answers is watched at all."""
        return bool(self.features)

    @property
    def samples(self) -> float:
        """Independent samples that this is made of: answers, or calls where answers are not watched.

        The calls, notes or measures of one recording or page are alike: they count as one.
        """
        return self.observations if self.watched else self.calls.all
