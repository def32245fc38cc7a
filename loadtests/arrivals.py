"""When requests come: Poisson arrivals, planned before the first is sent."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from loadtests.kinds import Kind


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request to be sent.

    Attributes:
        at_s: seconds after the start.
        kind: what is sent.
    """

    at_s: float
    kind: Kind


def poisson(rates_hz: Mapping[Kind, float], seconds: float, seed: int | str) -> Iterator[Arrival]:
    """Plan the arrivals of independent Poisson processes, one for each kind, in time order.

    Their sum is a Poisson process too; each of its arrivals is of a kind with the chance of the kind's part
    in the whole rate.

    Args:
        rates_hz: requests a second of each kind.
        seconds: how long requests come.
        seed: the same seed gives the same plan.
    """
    chance = random.Random(seed)  # noqa: S311 - no secret
    kinds, rates = list(rates_hz), list(rates_hz.values())
    if not sum(rates) > 0:
        return
    at_s = chance.expovariate(sum(rates))
    while at_s < seconds:
        yield Arrival(at_s, chance.choices(kinds, rates)[0])
        at_s += chance.expovariate(sum(rates))
