"""The watcher between a real Prometheus and a release board: what it reads, and what it does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from services.operate.canary.decision import Plan
from services.operate.canary.figures import Cases
from services.operate.canary.readings import Span, read_figures, read_readiness
from services.operate.canary.watcher import BY, Watcher
from services.runtime.release import steps
from services.runtime.release.board import ReleaseBoard, open_board
from services.runtime.release.manifest import Manifest, ModelVersion
from tests.operate.scripted_services import CONFIDENCE, SCRAPED_EVERY_S, Watched, watched
from tests.waiting import PATIENCE_S, wait_for

STABLE, CANARY = ModelVersion("1", 64 * "1"), ModelVersion("2", 64 * "2")
PLAN = Plan(samples=20, soak=timedelta(seconds=2), ready_within=timedelta(hours=1))
GARBAGE = (1.0, 0.0, 0.0, 0.0)
_NUMBERS = count()


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Services without a model, and a Prometheus that has seen them."""
    with watched(tmp_path_factory.mktemp("prometheus")) as running:
        running.seen("up", "== 1")
        yield running


@pytest.fixture
def world(prometheus: Watched) -> Watched:
    """Services with version 1 of a model of the test's own at work, which Prometheus has seen."""
    prometheus.services.model = f"model-{next(_NUMBERS)}"
    prometheus.services.release("1")
    prometheus.services.answer("1", 50)
    prometheus.seen("copyist_model_calls_total", "== 50", version="1")
    return prometheus


@pytest.fixture
def board(tmp_path: Path) -> ReleaseBoard:
    """A board with nothing on it."""
    return open_board(str(tmp_path / "release.json"))


def begin(world: Watched, board: ReleaseBoard, share: float = 0.05, *, automatic: bool = True) -> Manifest:
    """Put version 2 on trial."""
    model = world.services.model
    return steps.apply(
        board,
        lambda now: steps.start_canary(
            now, model, CANARY, share, shipped=STABLE, by="a test", automatic=automatic
        ),
    )


def load(world: Watched) -> None:
    """Have version 2 loaded, and Prometheus see it; what came before does not count."""
    world.services.release("2")
    steady(world, f'copyist_sync_ready{{model="{world.services.model}", version="2"}} == 1', 1.5)


def steady(world: Watched, expression: str, seconds: float) -> None:
    """Wait until it has been so without a gap: figures are read in steps of a second and a half at most."""
    step = timedelta(seconds=0.1)

    def was() -> bool:
        end = datetime.now(UTC)
        found = world.prometheus.over(expression, end - timedelta(seconds=seconds), end, step)
        return bool(found) and len(found[0].points) >= seconds / step.total_seconds()

    wait_for(was)


def serve(world: Watched, canary: int = 12, stable: int = 50, **how: object) -> None:
    """Have both versions answer some requests, the canary in its own way, and Prometheus see it."""
    world.services.answer("1", stable)
    world.services.answer("2", canary, **how)  # type: ignore[arg-type]
    for version, number in (("1", stable), ("2", canary)):
        if number:
            of = (world.services.model, version, "ok")
            counted = world.services.counted.calls.labels(*of)._value.get()
            world.seen("copyist_model_calls_total", f"== {counted}", version=version, outcome="ok")
    time.sleep(1.5 * SCRAPED_EVERY_S)


def watch(watcher: Watcher, world: Watched, until: Callable[[], bool], **how: object) -> None:
    """Serve and look in turns."""
    deadline = time.monotonic() + PATIENCE_S
    while not until():
        assert time.monotonic() < deadline
        serve(world, **how)  # type: ignore[arg-type]
        watcher.look()
        assert watcher.problem is None


def release_of(board: ReleaseBoard) -> tuple[str, float | None]:
    """The stable version, and the canary's share."""
    (release,) = board.read().models.values()
    return release.stable.number, release.canary and release.canary.share


def whys(board: ReleaseBoard) -> list[tuple[str, str, str]]:
    """What was changed, by whom and why, the oldest first."""
    (model,) = board.read().models
    changes = [each.change for each in reversed(board.history())]
    return [(each.what.replace(f" {model}", ""), each.by, each.why) for each in changes]


def test_figures_are_exactly_what_services_counted_across_their_restarts(world: Watched) -> None:
    start = datetime.now(UTC)
    services = world.services
    services.release("2")
    services.answer("2", 3, seconds=0.15, valid=2 / 3)
    services.fail("2", 2)
    world.seen("copyist_model_calls_total", "== 2", version="2", outcome="model-error")
    services.answer("2", 4, seconds=3.0)
    # What was counted since the last reading before a restart is lost: here nothing is.
    steady(world, f'copyist_checks_total{{model="{services.model}", version="2", passed="yes"}} == 6', 2.5)
    services.restart()
    services.release("2")
    services.answer("2", 5, seconds=0.3)
    world.seen("copyist_checks_total", "== 5", version="2", passed="yes")
    figures = read_figures(world.prometheus, world.services.model, "2", Span(start, datetime.now(UTC)))
    assert figures.observations == pytest.approx(12)
    assert figures.calls == Cases(12, 14)
    assert figures.checks == {"adds_up": Cases(pytest.approx(11), pytest.approx(12))}
    assert figures.durations.edges_s == (0.1, 0.2, 0.5, 1, 2, 5)
    assert figures.durations.counts == (0, 3, 5, 0, 0, 4, 0)
    assert figures.durations.total_s == pytest.approx(3 * 0.15 + 4 * 3.0 + 5 * 0.3)
    assert figures.features == {"confidence": pytest.approx(tuple(12 * share for share in CONFIDENCE))}
    assert figures.reference == {"confidence": CONFIDENCE}
    assert figures.reference_size == 200


def test_only_what_came_since_the_start_counts(world: Watched) -> None:
    start = datetime.now(UTC)
    world.services.answer("1", 7)
    world.seen("copyist_model_calls_total", "== 57", version="1")
    figures = read_figures(world.prometheus, world.services.model, "1", Span(start, datetime.now(UTC)))
    assert figures.calls == Cases(7, 7)


def test_a_good_canary_is_promoted_step_by_step(world: Watched, board: ReleaseBoard) -> None:
    begin(world, board)
    load(world)
    watcher = Watcher(board, world.prometheus, PLAN)
    watch(watcher, world, lambda: release_of(board) == ("2", None))
    done = whys(board)
    assert [(what, by) for what, by, _ in done] == [
        ("canary 2 at 5 %", "a test"),
        ("canary 2 at 25 %", BY),
        ("canary 2 at 100 %", BY),
        ("promote 2", BY),
    ]
    for (_, _, why), share in zip(done[1:], ("5%", "25%", "100%"), strict=True):
        assert why.startswith("no worse than the stable version in ")
        assert why.endswith(f" samples at {share}")


@pytest.mark.parametrize(
    ("how", "automatic", "why"),
    [
        ({"confidence": GARBAGE}, True, "confidence: PSI"),
        ({"seconds": 1.5}, True, "mean time of a call 1.5 s, with the stable version 0.3 s"),
        ({"valid": 0.0}, False, "adds_up failed 100.0%"),
    ],
)
def test_a_bad_canary_is_rolled_back_with_the_reason(
    world: Watched, board: ReleaseBoard, how: dict[str, object], why: str, *, automatic: bool
) -> None:
    begin(world, board, automatic=automatic)
    load(world)
    watch(Watcher(board, world.prometheus, PLAN), world, lambda: release_of(board) == ("1", None), **how)
    what, by, told = whys(board)[-1]
    assert (what, by) == ("roll back canary 2", BY)
    assert why in told
    assert len(whys(board)) == 2, "it was given no larger share before"


def test_a_canary_whose_calls_fail_is_rolled_back(world: Watched, board: ReleaseBoard) -> None:
    begin(world, board)
    load(world)
    world.services.fail("2", 4)
    watch(Watcher(board, world.prometheus, PLAN), world, lambda: release_of(board) == ("1", None), canary=0)
    assert "failed calls 100.0%" in whys(board)[-1][2]


def test_a_canary_that_is_held_is_watched_and_not_advanced(world: Watched, board: ReleaseBoard) -> None:
    begin(world, board, automatic=False)
    load(world)
    watcher = Watcher(board, world.prometheus, PLAN)
    for _ in range(3):
        serve(world, canary=15)
        watcher.look()
    assert release_of(board) == ("1", 0.05)
    watch(watcher, world, lambda: release_of(board) == ("1", None), confidence=GARBAGE, canary=40)


def test_a_canary_that_cannot_be_loaded_is_rolled_back(world: Watched, board: ReleaseBoard) -> None:
    begin(world, board)
    world.services.counted.ready.labels(world.services.model, "2").set(0)
    world.services.counted.failures.labels(world.services.model, "2", "store").inc()
    world.seen("copyist_sync_failures_total", "== 1", version="2", reason="store")
    serve(world, canary=0)
    watcher = Watcher(board, world.prometheus, PLAN)
    watcher.look()
    assert release_of(board) == ("1", 0.05), "a store that is away may come back"
    world.services.counted.failures.labels(world.services.model, "2", "damaged").inc()
    world.services.counted.failed.labels(world.services.model, "2").set(1)
    world.seen("copyist_sync_failed", "== 1", version="2")
    watch(watcher, world, lambda: len(whys(board)) == 2, canary=0)
    assert whys(board)[-1][2] == "it cannot be loaded: damaged, store"


def test_a_canary_that_does_not_become_ready_is_rolled_back(world: Watched, board: ReleaseBoard) -> None:
    hasty = replace(PLAN, ready_within=timedelta(seconds=5))
    world.services.counted.ready.labels(world.services.model, "2").set(0)
    begin(world, board)
    watch(Watcher(board, world.prometheus, hasty), world, lambda: release_of(board) == ("1", None), canary=0)
    assert "ready" in whys(board)[-1][2]
    # Time counts from the beginning of its trial at the earliest.
    taken_s = (board.history()[0].change.at - board.history()[1].change.at).total_seconds()
    assert taken_s > hasty.ready_within.total_seconds() - 0.1


def test_readiness_is_that_of_every_model_server(world: Watched) -> None:
    start = datetime.now(UTC)
    world.seen("copyist_sync_ready", "== 1", version="1")
    span = Span(start, datetime.now(UTC) + timedelta(seconds=1))
    wait_for(lambda: read_readiness(world.prometheus, world.services.model, "1", span).ready)
    assert not read_readiness(world.prometheus, world.services.model, "2", span).ready


def test_silence_promotes_nothing(world: Watched, board: ReleaseBoard) -> None:
    begin(world, board)
    load(world)
    watcher = Watcher(board, world.prometheus, PLAN)
    for _ in range(3):
        serve(world, canary=0)
        watcher.look()
    assert watcher.problem is None
    assert release_of(board) == ("1", 0.05)
    assert len(board.history()) == 1


def test_it_goes_on_when_prometheus_comes_back(world: Watched, board: ReleaseBoard) -> None:
    begin(world, board)
    load(world)
    watcher = Watcher(board, world.prometheus, PLAN)
    serve(world)
    watcher.look()
    assert watcher.problem is None
    world.stop()
    watcher.look()
    assert watcher.problem is not None
    assert watcher.problem.slug == "prometheus"
    assert release_of(board) == ("1", 0.05)
    world.start()
    watch(watcher, world, lambda: release_of(board) == ("1", None), confidence=GARBAGE)


def test_it_goes_on_when_the_board_comes_back(world: Watched, board: ReleaseBoard, tmp_path: Path) -> None:
    begin(world, board)
    load(world)
    watcher = Watcher(board, world.prometheus, PLAN)
    file = tmp_path / "release.json"
    kept = file.read_text()
    file.write_text("{half a manif")
    watcher.look()
    assert watcher.problem is not None
    file.write_text(kept)
    watch(watcher, world, lambda: release_of(board) == ("1", None), confidence=GARBAGE)


class Hasty:
    """A board on which somebody else is quicker: just before the first write it is changed."""

    def __init__(self, board: ReleaseBoard, change: Callable[[], object]) -> None:
        self._board, self._change = board, change
        self.tried = 0
        self.read, self.history, self.follow = board.read, board.history, board.follow

    def write(self, manifest: Manifest) -> None:
        self.tried += 1
        if self.tried == 1:
            self._change()
        self._board.write(manifest)


def test_what_somebody_else_did_meanwhile_stands(world: Watched, board: ReleaseBoard) -> None:
    begin(world, board)
    load(world)

    def by_hand() -> None:
        steps.apply(board, lambda now: steps.change_share(now, world.services.model, 0.5, by="somebody"))

    hasty = Hasty(board, by_hand)
    watch(
        Watcher(hasty, world.prometheus, PLAN), world, lambda: hasty.tried > 0, canary=30, confidence=GARBAGE
    )
    assert hasty.tried == 1, "it saw that the canary is another by now"
    assert [by for _, by, _ in whys(board)] == ["a test", "somebody"]


def test_two_watchers_do_everything_once(world: Watched, board: ReleaseBoard) -> None:
    begin(world, board)
    load(world)
    watchers = [Watcher(board, world.prometheus, PLAN) for _ in range(2)]
    # The second comes in just before the first one's first step.
    watchers[0] = Watcher(Hasty(board, watchers[1].look), world.prometheus, PLAN)
    for watcher in watchers * 20:
        if release_of(board) == ("2", None):
            break
        serve(world, canary=10)
        watcher.look()
    assert [what for what, _, _ in whys(board)] == [
        *(f"canary 2 at {share} %" for share in (5, 25, 100)),
        "promote 2",
    ]
