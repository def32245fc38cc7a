"""One-sided tests of a canary against its stable version, meant for small samples.

Each gives the chance that a canary as good as the stable version looks as bad as this one, or worse.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from services.operate.canary.figures import Cases, Durations
from services.runtime import drift


def more_often_bad(canary: Cases, stable: Cases) -> float:
    """Test whether the canary's cases are bad more often: Fisher's exact test (1922, doi:10.2307/2340521).

    It holds for samples of any size; fractions of cases are rounded to whole ones.
    """
    bad, good = round(canary.bad), round(canary.good)
    all_bad, every = bad + round(stable.bad), bad + good + round(stable.all)
    return float(stats.hypergeom.sf(bad - 1, every, all_bad, bad + good))


def slower(canary: Durations, stable: Durations, times: float, samples: tuple[float, float]) -> float:
    """Test whether the canary's calls take, on average, more than so many times as long as the stable one's.

    Welch's test (1947, doi:10.2307/2332510) of the means' logarithms, whose variances are taken by the delta
    method.

    Args:
        canary, stable: how long calls took.
        times: above 0.
        samples: how many independent ones there are of either.
    """
    sizes = min(samples[0], canary.calls), min(samples[1], stable.calls)
    if min(sizes) < 2 or not stable.mean_s > 0 or not canary.mean_s > 0:
        return 1.0
    parts = [of.variance_s2 / of.mean_s**2 / size for of, size in zip((canary, stable), sizes, strict=True)]
    if not sum(parts) > 0:
        return 1.0
    freedom = sum(parts) ** 2 / sum(part**2 / (size - 1) for part, size in zip(parts, sizes, strict=True))
    excess = math.log(canary.mean_s / stable.mean_s / times)
    return float(stats.t.sf(excess / math.sqrt(sum(parts)), freedom))


def distance(one: Sequence[float], other: Sequence[float]) -> float:
    """Give the population stability index between two samples, of masses in the same bins."""
    known = np.asarray(other, float)
    return drift.psi(one, known / max(known.sum(), 1e-12), float(known.sum()))


def chance_distance(bins: int, sizes: tuple[float, float], chance: float) -> float:
    """Give the index that two samples of one population exceed with this chance; infinite for an empty one.

    The index over (1/n + 1/m) follows the chi-squared distribution with one degree of freedom less than
    there are bins (Yurdakul & Naranjo 2020, doi:10.21314/JRMV.2020.227); half an observation added to each
    bin keeps it below that in small samples.
    """
    if min(sizes) <= 0:
        return float("inf")
    return float(stats.chi2.isf(chance, bins - 1)) * (1 / sizes[0] + 1 / sizes[1])
