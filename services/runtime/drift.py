"""How far a model's traffic has moved from its reference: the population stability index.

PSI is the sum over bins of (p - q) ln(p / q), the symmetrised Kullback-Leibler divergence (Jeffreys 1946) of
live shares p and reference shares q. Both are smoothed by half an observation a bin (Krichevsky & Trofimov
1981, doi:10.1109/TIT.1981.1056331), so that an empty bin of a small sample is no infinity. Two samples of the
same population give a PSI of (B - 1)(1/n + 1/m) on average (B bins, n live and m reference observations;
Yurdakul & Naranjo 2020, doi:10.21314/JRMV.2020.227); drift is a PSI well above that. Prometheus' rules in
`monitoring/` compute the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

#: Observations added to every bin.
SMOOTHING: Final = 0.5
#: Drift is a PSI above this, the field's usual mark for a population that has shifted, ...
LEAST_PSI: Final = 0.2
#: ... and above so many times what chance alone would give.
LEAST_TIMES_CHANCE: Final = 3.0


def psi(live_mass: Sequence[float], reference_shares: Sequence[float], reference_size: float) -> float:
    """Compute the population stability index.

    Args:
        live_mass: mass in each bin; 1 in all for each live observation.
        reference_shares: in each bin; they sum to 1.
        reference_size: number of reference observations.
    """
    live = np.asarray(live_mass, float)
    known = np.asarray(reference_shares, float)
    bins = live.size
    p = (live + SMOOTHING) / (live.sum() + SMOOTHING * bins)
    q = (known * reference_size + SMOOTHING) / (reference_size + SMOOTHING * bins)
    return float(np.sum((p - q) * np.log(p / q)))


def chance_level(bins: int, live_size: float, reference_size: float) -> float:
    """Tell the PSI that two samples of one population have on average; infinite for an empty one."""
    if live_size <= 0 or reference_size <= 0:
        return float("inf")
    return (bins - 1) * (1 / live_size + 1 / reference_size)


def drifted(psi: float, chance: float) -> bool:
    """Tell whether a PSI is drift rather than chance or a trifle."""
    return psi > LEAST_PSI and psi > LEAST_TIMES_CHANCE * chance
