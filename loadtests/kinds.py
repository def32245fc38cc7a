"""The kinds of requests that a load is made of, and how often each comes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import product
from typing import Final

WAYS: Final = ("http", "grpc", "job")
SUBJECTS: Final = ("recording", "page")
LENGTHS: Final = ("short", "long")


@dataclass(frozen=True, slots=True, order=True)
class Kind:
    """One kind of request.

    Attributes:
        way: `http` and `grpc` wait for the answer; a `job` is submitted over HTTP and followed to its end.
        subject: what is sent, a `recording` or a `page` (several, where it is long).
        length: `short` or `long`; see loadtests.samples.
    """

    way: str
    subject: str
    length: str

    @property
    def name(self) -> str:
        """The kind's name, such as `http/recording/short`."""
        return f"{self.way}/{self.subject}/{self.length}"


KINDS: Final = tuple(Kind(*each) for each in product(WAYS, SUBJECTS, LENGTHS))

#: A long one costs about twelve times a short one: so both take about as much of the machine.
DEFAULT_MIX: Final = "http/*/short=4,grpc/*/short=3,job/*/short=3,*/long=0.3"


def parse_mix(text: str) -> dict[Kind, float]:
    """Read how often each kind comes, as shares that add up to 1.

    Args:
        text: `NAME=WEIGHT`, separated by commas; a name may be a pattern such as `job/*` or `*/short`. Where
            several match a kind, the last one holds; kinds that none matches do not come.

    Raises:
        ValueError: a part that cannot be read, matches nothing, or a mix of nothing.
    """
    weights: dict[Kind, float] = {}
    for part in text.split(","):
        pattern, _, number = part.strip().partition("=")
        matching = [kind for kind in KINDS if fnmatchcase(kind.name, pattern)]
        if not matching:
            raise ValueError(
                f"{pattern!r} is no kind of request; they are: {', '.join(k.name for k in KINDS)}."
            )
        try:
            weight = float(number)
        except ValueError:
            raise ValueError(f"{part.strip()!r} is not NAME=WEIGHT.") from None
        if not 0 <= weight < float("inf"):
            raise ValueError(f"The weight of {pattern!r} must be a number from 0 up, not {number}.")
        weights |= dict.fromkeys(matching, weight)
    total = sum(weights.values())
    if not total:
        raise ValueError("The mix holds nothing: every weight is 0.")
    return {kind: weight / total for kind, weight in weights.items() if weight}


def of_way(mix: Mapping[Kind, float], way: str) -> dict[Kind, float]:
    """The part of a mix that goes one way."""
    return {kind: share for kind, share in mix.items() if kind.way == way}
