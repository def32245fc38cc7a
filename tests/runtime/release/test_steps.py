"""The steps of a release, as pure functions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from services.runtime.release import steps
from services.runtime.release.manifest import NOTHING_RELEASED, BadManifestError, Manifest, ModelVersion
from services.runtime.release.steps import WrongStepError

SHIPPED, TWO, THREE, FOUR = (ModelVersion(str(number), f"{number}" * 64) for number in (1, 2, 3, 4))


class Course:
    """A release step by step, with its history."""

    def __init__(self) -> None:
        self.manifests = [NOTHING_RELEASED]

    @property
    def now(self) -> Manifest:
        return self.manifests[-1]

    def canary(self, version: ModelVersion, share: float = 0.05, model: str = "piano") -> Manifest:
        return self._taken(steps.start_canary(self.now, model, version, share, shipped=SHIPPED, by="me"))

    def shadow(self, version: ModelVersion) -> Manifest:
        return self._taken(steps.start_shadow(self.now, "piano", version, 0.5, shipped=SHIPPED, by="me"))

    def promote(self) -> Manifest:
        return self._taken(steps.promote(self.now, "piano", by="me"))

    def rollback(self) -> Manifest:
        history = self.manifests[:0:-1]
        return self._taken(steps.rollback(self.now, "piano", history=history, by="me", why="worse"))

    def released(self, *versions: ModelVersion) -> None:
        for version in versions:
            self.canary(version)
            self.promote()

    @property
    def stable(self) -> str:
        return self.now.models["piano"].stable.number

    def _taken(self, manifest: Manifest) -> Manifest:
        assert Manifest.decode(manifest.encode()) == manifest
        self.manifests.append(manifest)
        return manifest


@pytest.fixture
def course() -> Course:
    return Course()


def test_a_canary_is_put_beside_the_shipped_version(course: Course) -> None:
    manifest = course.canary(TWO)
    assert manifest.revision == 1
    release = manifest.models["piano"]
    assert (release.stable, release.canary and release.canary.version) == (SHIPPED, TWO)
    assert release.canary is not None
    assert release.canary.automatic
    assert abs(release.canary.since - datetime.now(UTC)) < timedelta(minutes=1)
    assert (manifest.change.by, manifest.change.what) == ("me", "canary piano 2 at 5 %")


def test_shares_grow_and_the_canary_becomes_stable(course: Course) -> None:
    course.canary(TWO)
    manifest = steps.change_share(course.now, "piano", 0.25, by="watch", version="2", why="does well")
    assert manifest.models["piano"].canary is not None
    assert manifest.models["piano"].canary.share == 0.25
    assert (manifest.change.what, manifest.change.why) == ("canary piano 2 at 25 %", "does well")
    promoted = steps.promote(manifest, "piano", by="watch")
    assert promoted.models["piano"].stable == TWO
    assert promoted.models["piano"].canary is None
    assert promoted.revision == 3


def test_models_are_released_independently(course: Course) -> None:
    course.canary(TWO)
    course.canary(THREE, model="symbols")
    course.promote()
    assert course.stable == "2"
    assert course.now.models["symbols"].canary is not None


def test_a_canary_that_is_rolled_back_leaves_the_stable_version(course: Course) -> None:
    course.released(TWO)
    course.canary(THREE, 1.0)
    manifest = course.rollback()
    assert manifest.models["piano"].canary is None
    assert course.stable == "2"
    assert (manifest.change.what, manifest.change.why) == ("roll back canary piano 3", "worse")


def test_rollbacks_go_further_back_and_never_to_what_was_rolled_back(course: Course) -> None:
    course.released(TWO, THREE, FOUR)
    went = []
    for _ in range(3):
        course.rollback()
        went.append(course.stable)
    assert went == ["3", "2", "1"]
    assert course.now.change.what == "roll back piano 2 to 1"
    with pytest.raises(WrongStepError, match="not known which version of piano served before"):
        course.rollback()


def test_what_is_promoted_after_a_rollback_goes_back_to_what_served_then(course: Course) -> None:
    course.released(TWO, THREE)
    course.rollback()
    course.released(FOUR)
    course.rollback()
    assert course.stable == "2"
    course.released(THREE)
    course.rollback()
    assert course.stable == "2"


def test_a_rollback_does_not_leave_a_version_with_two_roles(course: Course) -> None:
    course.released(TWO, THREE)
    course.shadow(TWO)
    course.rollback()
    assert course.now.models["piano"].shadow is None
    assert course.stable == "2"


def test_a_shadow_comes_goes_and_may_become_the_canary(course: Course) -> None:
    course.shadow(TWO)
    assert course.now.models["piano"].shadow is not None
    stopped = steps.stop_shadow(course.now, "piano", by="me")
    assert stopped.models["piano"].shadow is None
    release = course.canary(TWO).models["piano"]
    assert (release.shadow, release.canary and release.canary.version) == (None, TWO)


def test_the_share_of_a_canary_may_be_changed_by_starting_it_again(course: Course) -> None:
    course.canary(TWO)
    held = steps.start_canary(course.now, "piano", TWO, 0.1, shipped=SHIPPED, by="me", automatic=False)
    assert held.models["piano"].canary is not None
    assert (held.models["piano"].canary.share, held.models["piano"].canary.automatic) == (0.1, False)
    assert held.change.what == "canary piano 2 at 10 %, held"


@pytest.mark.parametrize(
    ("step", "told"),
    [
        (
            lambda now: steps.start_canary(now, "piano", THREE, 0.1, shipped=SHIPPED, by=""),
            "2 of piano is on",
        ),
        (
            lambda now: steps.start_canary(now, "piano", SHIPPED, 0.1, shipped=SHIPPED, by=""),
            "serves already",
        ),
        (lambda now: steps.start_shadow(now, "piano", TWO, 0.1, shipped=SHIPPED, by=""), "answers requests"),
        (
            lambda now: steps.start_shadow(now, "piano", SHIPPED, 0.1, shipped=SHIPPED, by=""),
            "answers requests",
        ),
        (lambda now: steps.stop_shadow(now, "piano", by=""), "No version of piano is a shadow"),
        (lambda now: steps.promote(now, "piano", version="3", by=""), "2 of piano is on trial, not 3"),
        (lambda now: steps.change_share(now, "piano", 0.1, version="3", by=""), "on trial, not 3"),
        (lambda now: steps.rollback(now, "piano", version="3", history=[], by=""), "on trial, not 3"),
        (lambda now: steps.promote(now, "symbols", by=""), "No version of symbols is on trial"),
        (lambda now: steps.rollback(now, "symbols", history=[], by=""), "not known which version of symbols"),
    ],
)
def test_steps_that_do_not_fit_say_why(
    course: Course, step: Callable[[Manifest], Manifest], told: str
) -> None:
    course.canary(TWO)
    with pytest.raises(WrongStepError, match=told):
        step(course.now)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01, float("nan")])
def test_a_share_is_above_nothing_and_at_most_all(course: Course, share: float) -> None:
    with pytest.raises(BadManifestError, match="above 0 and at most 1"):
        course.canary(TWO, share)
