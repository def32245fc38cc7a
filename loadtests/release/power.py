"""How often canary analysis rolls a good canary back, and how soon a bad one: by simulation.

`python -m loadtests.release.power` draws whole releases: at each share the canary gets its samples, the
stable version the rest, and both are judged after every few; samples come from the reference profile of the
piano model, checks and calls from rates given below.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.operate.canary.decision import Plan
from services.operate.canary.figures import CONTENT, Cases, Durations, Figures
from services.operate.canary.judgement import judge
from services.triton.environment import REPOSITORY_ROOT

_EDGES_S: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
_CARD: Final = REPOSITORY_ROOT / "model_repository" / "piano" / "card.json"
#: A judgement after so many more samples of the canary.
_LOOK_EVERY: Final = 2
_CALLS_EACH: Final = 4


@dataclass(frozen=True, slots=True)
class Nature:
    """How a version behaves.

    Attributes:
        failing: share of its calls that fail.
        invalid: share of its answers that fail the check.
        mean_s: of a call; log-normal with a spread of `spread`, the same factor for all calls of one sample.
        moved: share of its answers that all lie in the first bin of every feature; the others are as in the
            reference.
    """

    failing: float = 0.001
    invalid: float = 0.05
    mean_s: float = 0.4
    spread: float = 0.6
    moved: float = 0.0


GOOD: Final = Nature()
NATURES: Final = {
    "as good as stable": GOOD,
    "5 % of calls fail": replace(GOOD, failing=0.05),
    "all calls fail": replace(GOOD, failing=1.0),
    "20 points more invalid": replace(GOOD, invalid=0.25),
    "1.2 times as slow": replace(GOOD, mean_s=1.2 * GOOD.mean_s),
    "2 times as slow": replace(GOOD, mean_s=2 * GOOD.mean_s),
    "3 times as slow": replace(GOOD, mean_s=3 * GOOD.mean_s),
    "a fifth of the answers is garbage": replace(GOOD, moved=0.2),
    "all answers are garbage": replace(GOOD, moved=1.0),
}


class Samples:
    """Samples of one version, as counters add them up."""

    def __init__(self, nature: Nature, chance: np.random.Generator) -> None:
        self._nature, self._chance = nature, chance
        features = json.loads(_CARD.read_text("utf-8"))["profile"]["features"]
        self._shares = {name: np.array(each["shares"]) for name, each in features.items() if name in CONTENT}
        self._masses = {name: np.zeros(len(shares)) for name, shares in self._shares.items()}
        self._observations = self._good = self._calls = self._answered = self._total_s = 0.0
        self._counts = np.zeros(len(_EDGES_S) + 1)

    def add(self, number: int) -> None:
        """Draw so many more."""
        nature, chance = self._nature, self._chance
        calls = number * _CALLS_EACH
        answered = calls - chance.binomial(calls, nature.failing)
        done = round(answered / _CALLS_EACH)
        self._calls, self._answered = self._calls + calls, self._answered + answered
        self._observations += done
        self._good += done - chance.binomial(done, nature.invalid)
        level = np.log(nature.mean_s) - nature.spread**2 / 2
        seconds: NDArray[np.float64] = np.repeat(chance.lognormal(level, nature.spread, number), _CALLS_EACH)
        self._counts += np.bincount(np.searchsorted(_EDGES_S, seconds), minlength=len(_EDGES_S) + 1)
        self._total_s += float(seconds.sum())
        moved = chance.binomial(done, nature.moved)
        for name, shares in self._shares.items():
            self._masses[name] += chance.multinomial(done - moved, shares)
            self._masses[name][0] += moved

    def figures(self) -> Figures:
        """What Prometheus would have."""
        return Figures(
            version="1",
            observations=self._observations,
            calls=Cases(self._answered, self._calls),
            durations=Durations(_EDGES_S, tuple(self._counts), self._total_s),
            checks={"adds_up": Cases(self._good, self._observations)},
            features={name: tuple(masses) for name, masses in self._masses.items()},
            reference={name: tuple(shares) for name, shares in self._shares.items()},
            reference_size=200,
        )


def release(nature: Nature, plan: Plan, chance: np.random.Generator) -> tuple[float, int] | None:
    """Draw one release.

    Returns:
        The share at which the canary was rolled back, and after how many of its samples there; None if it was
        promoted.
    """
    for share in plan.shares:
        canary, stable = Samples(nature, chance), Samples(GOOD, chance)
        if share == 1.0:
            stable.add(10 * plan.samples)  # from before
        for seen in range(_LOOK_EVERY, plan.samples + _LOOK_EVERY, _LOOK_EVERY):
            canary.add(_LOOK_EVERY)
            stable.add(round(_LOOK_EVERY * (1 / share - 1)))
            if judge(canary.figures(), stable.figures()).breaches:
                return share, seen
    return None


def row(name: str, nature: Nature, plan: Plan, releases: int, seed: int) -> str:
    """Tell of many releases in a line."""
    chance = np.random.default_rng(seed)
    ended = [release(nature, plan, chance) for _ in range(releases)]
    back = [end for end in ended if end is not None]
    first = [seen for share, seen in back if share == plan.shares[0]]
    median = f"{np.median(first):.0f}" if first else "-"
    return f"{name:34}{len(back) / releases:>12.2%}{len(first) / releases:>20.2%}{median:>16}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--releases", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=Plan().samples)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(arguments)
    plan = replace(Plan(), samples=args.samples)
    shares = ", ".join(f"{share:.0%}" for share in plan.shares)
    print(f"{args.releases} releases each, {plan.samples} samples of the canary at each share ({shares})")
    print(f"{'the canary':34}{'rolled back':>12}{'at the first share':>20}{'after (median)':>16}")
    for name, nature in NATURES.items():
        print(row(name, nature, plan, args.releases, args.seed), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
