"""What is held against a canary, and what is not."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from loadtests.release.power import GOOD, NATURES, Nature, release
from services.amt import profile as recordings
from services.omr import profile as pages
from services.operate.canary.decision import Plan
from services.operate.canary.figures import CONTENT, Cases, Durations, Figures
from services.operate.canary.judgement import Judgement, Kind, judge
from services.operate.canary.statistics import chance_distance, more_often_bad, slower

REFERENCE = (0.05, 0.15, 0.3, 0.5)
EDGES_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


def durations(calls: int, mean_s: float) -> Durations:
    """Calls that take from half to one and a half times the mean."""
    seconds = np.linspace(0.5 * mean_s, 1.5 * mean_s, calls)
    counts = np.bincount(np.searchsorted(EDGES_S, seconds), minlength=len(EDGES_S) + 1)
    return Durations(EDGES_S, tuple(counts.astype(float)), float(seconds.sum()))


def figures(observations: int, *, version: str = "1", mean_s: float = 0.3) -> Figures:
    """A version that does as its reference says, with two calls for each answer."""
    return Figures(
        version=version,
        observations=observations,
        calls=Cases(2 * observations, 2 * observations),
        durations=durations(2 * observations, mean_s),
        checks={"adds_up": Cases(0.9 * 10 * observations, 10 * observations)},
        features={"confidence": tuple(share * observations for share in REFERENCE)},
        reference={"confidence": REFERENCE},
        reference_size=200,
    )


STABLE = figures(400)
CANARY = figures(40, version="2")


def kinds(judgement: Judgement) -> set[Kind]:
    """In what the canary does badly."""
    return {finding.kind for finding in judgement.breaches}


def answers(shares: tuple[float, ...], *, reference: tuple[float, ...] = REFERENCE) -> Figures:
    """A canary whose answers lie so in their bins."""
    mass = tuple(40 * share for share in shares)
    return replace(CANARY, features={"confidence": mass}, reference={"confidence": reference})


def test_a_canary_like_the_stable_version_is_none_the_worse() -> None:
    judgement = judge(CANARY, STABLE)
    assert judgement.breaches == ()
    assert {finding.kind for finding in judgement.findings} == set(Kind) - {Kind.NOT_READY}
    assert judgement.enough(40)
    assert not judgement.enough(41)


@pytest.mark.parametrize(
    ("canary", "kind", "told"),
    [
        (
            replace(CANARY, calls=Cases(72, 80)),
            Kind.ERRORS,
            "failed calls 10.0%, with the stable version 0.0%",
        ),
        (replace(CANARY, durations=durations(80, 0.7)), Kind.LATENCY, "mean time of a call 0.7 s"),
        (replace(CANARY, checks={"adds_up": Cases(160, 400)}), Kind.VALIDITY, "adds_up failed 60.0%"),
        (answers((1, 0, 0, 0)), Kind.CONTENT, "confidence: PSI against the stable version"),
    ],
)
def test_each_kind_of_fault_is_found_and_no_other(canary: Figures, kind: Kind, told: str) -> None:
    judgement = judge(canary, STABLE)
    assert kinds(judgement) == {kind}
    assert told in "; ".join(map(str, judgement.breaches))


def test_calls_that_hang_now_and_then_are_found_where_the_mean_tells_nothing() -> None:
    quick = durations(400, 0.3)
    hanging = replace(quick, counts=(*(count * 0.9 for count in quick.counts[:-1]), 40.0))
    canary = replace(figures(400, version="2"), durations=hanging)
    (finding,) = judge(canary, figures(4000)).breaches
    assert (finding.kind, finding.what) == (Kind.LATENCY, "calls that got stuck")


@pytest.mark.parametrize(
    "canary",
    [
        pytest.param(replace(CANARY, calls=Cases(0, 1)), id="one call, which failed"),
        pytest.param(replace(CANARY, observations=3, durations=durations(6, 1.2)), id="slow, three times"),
        pytest.param(
            replace(CANARY, observations=2, checks={"adds_up": Cases(0, 200)}), id="two answers without sense"
        ),
        pytest.param(
            replace(answers((1, 0, 0, 0)), features={"confidence": (2.0, 0, 0, 0)}), id="two unsure"
        ),
    ],
)
def test_what_may_be_chance_is_not_held_against_it(canary: Figures) -> None:
    assert judge(canary, STABLE).breaches == ()


@pytest.mark.parametrize(
    "canary",
    [
        pytest.param(replace(CANARY, calls=Cases(79.5, 80)), id="half a point more errors"),
        pytest.param(replace(CANARY, durations=durations(80, 0.36)), id="a fifth slower"),
        pytest.param(replace(CANARY, checks={"adds_up": Cases(348, 400)}), id="three points less valid"),
    ],
)
def test_what_is_a_trifle_is_not_held_against_it(canary: Figures) -> None:
    many = replace(canary, observations=40_000)
    assert judge(many, replace(STABLE, observations=400_000)).breaches == ()


def test_many_measures_of_few_pages_tell_no_more_than_the_pages() -> None:
    page = replace(CANARY, observations=2, checks={"adds_up": Cases(20, 100)})
    assert judge(page, STABLE).breaches == ()
    assert kinds(judge(replace(page, observations=100), STABLE)) == {Kind.VALIDITY}


def test_a_surer_model_whose_card_says_so_is_no_fault() -> None:
    surer = (0.0, 0.0, 0.05, 0.95)
    assert kinds(judge(answers(surer), STABLE)) == {Kind.CONTENT}
    assert judge(answers(surer, reference=surer), STABLE).breaches == ()


def test_where_the_world_has_moved_both_may_be_off_their_references() -> None:
    def of(shares: tuple[float, ...], like: Figures) -> Figures:
        return replace(like, features={"confidence": tuple(like.observations * share for share in shares)})

    stable, canary = of((0.05, 0.4, 0.3, 0.25), STABLE), figures(100, version="2")
    moved = judge(of((0.25, 0.15, 0.3, 0.3), canary), stable)
    (finding,) = (each for each in moved.findings if each.kind is Kind.CONTENT)
    assert finding.canary > finding.stable, "they are off each other"
    assert moved.breaches == ()
    assert kinds(judge(of((1.0, 0.0, 0.0, 0.0), canary), stable)) == {Kind.CONTENT}


def test_a_model_whose_answers_are_not_watched_is_judged_by_its_calls() -> None:
    bare = Figures("2", calls=Cases(50, 100), durations=durations(50, 0.3))
    stable = Figures("1", calls=Cases(1000, 1000), durations=durations(1000, 0.3))
    judgement = judge(bare, stable)
    assert (judgement.samples, judgement.stable_samples) == (100, 1000)
    assert kinds(judgement) == {Kind.ERRORS}


def test_nothing_is_known_of_nothing() -> None:
    assert judge(Figures("2"), Figures("1")).findings == ()
    assert not judge(Figures("2"), STABLE).enough(1)


def test_fisher_and_welch_are_those_of_scipy() -> None:
    from scipy import stats

    table = [[7, 13], [9, 191]]
    assert more_often_bad(Cases(13, 20), Cases(191, 200)) == pytest.approx(
        stats.fisher_exact(table, alternative="greater").pvalue
    )
    # Of samples that are spread evenly over their buckets, Welch's own test gives about the same.
    one, other = np.linspace(0.5, 1.0, 50), np.linspace(0.2, 0.5, 90)
    told = slower(
        Durations(EDGES_S, (0, 0, 0, 50, 0, 0, 0), float(one.sum())),
        Durations(EDGES_S, (0, 0, 90, 0, 0, 0, 0), float(other.sum())),
        1.9,
        (50, 90),
    )
    expected = stats.ttest_ind(one, 1.9 * other, equal_var=False, alternative="greater").pvalue
    assert told == pytest.approx(expected, rel=0.3)


def test_the_chance_distance_shrinks_with_more_samples_and_grows_with_more_bins() -> None:
    sizes = [chance_distance(8, (n, 10 * n), 1e-4) for n in (10, 100, 1000)]
    assert all(more > less for more, less in pairwise(sizes))
    assert chance_distance(10, (10, 100), 1e-4) > sizes[0]
    assert chance_distance(8, (0, 100), 1e-4) == float("inf")


def test_histograms_tell_shares_and_edges() -> None:
    some = Durations(EDGES_S, (10, 80, 9, 0, 0, 0, 1), 20.0)
    assert some.within(0.2) == Cases(90, 100)
    assert (some.at_most(0.5), some.at_most(0.99), some.at_most(1.0)) == (0.2, 0.5, float("inf"))
    assert Durations((1.0,), (50.0, 0.0), 25.0).variance_s2 == pytest.approx(1 / 12)


def test_every_feature_of_answers_is_compared_and_none_of_what_is_sent() -> None:
    given = {
        *("loudness_db", "treble_db", "snr_db", "clipped_share"),
        *("staff_space_px", "tilt_deg", "bend_spaces", "unevenness", "midtone_share", "ink_share", "edge_px"),
    }
    assert CONTENT | given >= {*recordings.EDGES, *pages.EDGES}, "a new one: sort it in"
    assert {*recordings.EDGES, *pages.EDGES} >= CONTENT


@pytest.mark.parametrize(
    ("nature", "least", "most"),
    [
        # `python -m loadtests.release.power` in small.
        (GOOD, 0.0, 0.05),
        (NATURES["1.2 times as slow"], 0.0, 0.1),
        (NATURES["all calls fail"], 1.0, 1.0),
        (NATURES["3 times as slow"], 0.95, 1.0),
        (NATURES["20 points more invalid"], 0.95, 1.0),
        (NATURES["all answers are garbage"], 1.0, 1.0),
    ],
)
def test_good_canaries_stay_and_bad_ones_go(nature: Nature, least: float, most: float) -> None:
    chance = np.random.default_rng(7)
    ended = [release(nature, Plan(), chance) for _ in range(40)]
    assert least <= sum(end is not None for end in ended) / len(ended) <= most
