"""Where the manifest is kept: a file, or a ConfigMap; read, written by many at once, followed, damaged."""

from __future__ import annotations

import json
import logging
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from services.cluster.config_maps import ConfigMaps
from services.cluster.errors import NotInClusterError
from services.errors import CopyistError
from services.runtime.release import metrics, steps
from services.runtime.release.board import HISTORY, ReleaseBoard, ReleaseChangedError, open_board
from services.runtime.release.config_map_board import ConfigMapBoard
from services.runtime.release.file_board import FileBoard
from services.runtime.release.manifest import NOTHING_RELEASED, BadManifestError, Manifest, ModelVersion
from services.runtime.release.steps import Step
from services.triton.environment import REPOSITORY_ROOT
from tests.cluster.api_server import ApiServer, Fault
from tests.cluster.manifests import connected
from tests.waiting import wait_for

ONE, TWO = (ModelVersion(str(number), f"{number}" * 64) for number in (1, 2))


@dataclass
class Place:
    """A board, and the text that it keeps, as others may change it."""

    board: ReleaseBoard
    put: Callable[[str], None]
    remove: Callable[[], None]


def file_place(folder: Path) -> Place:
    path = folder / "release.json"
    return Place(FileBoard(path), lambda text: _put(path, text), path.unlink)


def _put(path: Path, text: str) -> None:
    path.write_text(text)


def config_map_place(api: ApiServer) -> Place:
    def put(text: str) -> None:
        api.put("configmaps", {"metadata": {"name": "release"}, "data": {"manifest.json": text}})

    put("")
    board = ConfigMapBoard(ConfigMaps(connected(api)), "release", watch_s=1)
    return Place(board, put, lambda: api.remove("configmaps", "release"))


@pytest.fixture(params=["file", "ConfigMap"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr("services.runtime.release.config_map_board._PAUSE_S", 0.1)
    return (
        file_place(tmp_path) if request.param == "file" else config_map_place(request.getfixturevalue("api"))
    )


@pytest.fixture
def board(place: Place) -> ReleaseBoard:
    return place.board


def canary(share: float = 0.05) -> Step:
    return partial(steps.start_canary, model="piano", version=TWO, share=share, shipped=ONE, by="me")


def promote(manifest: Manifest) -> Manifest:
    return steps.promote(manifest, "piano", by="me")


class Follower:
    """Follows a board in a thread, as services do."""

    def __init__(self, board: ReleaseBoard) -> None:
        self.seen: list[int] = []
        self.stopped = threading.Event()
        self._board = board
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()

    def _follow(self) -> None:
        for manifest in self._board.follow(self.stopped):
            self.seen.append(manifest.revision)

    def close(self) -> None:
        self.stopped.set()
        self._thread.join(60)
        assert not self._thread.is_alive()


@pytest.fixture
def follower(board: ReleaseBoard) -> Iterator[Follower]:
    made = Follower(board)
    yield made
    made.close()


def readable() -> bool:
    return REGISTRY.get_sample_value("copyist_release_readable") == 1


# ---- reading and writing


def test_before_the_first_release_nothing_is_released(board: ReleaseBoard) -> None:
    assert board.read() == NOTHING_RELEASED
    assert board.history() == []


def test_what_was_written_is_read_and_remembered(board: ReleaseBoard) -> None:
    first = steps.apply(board, canary())
    second = steps.apply(board, promote)
    assert board.read() == second
    assert board.history() == [second, first]
    assert board.history(1) == [second]


@pytest.mark.parametrize("revision", [0, 1, 3])
def test_a_manifest_that_does_not_follow_is_refused(board: ReleaseBoard, revision: int) -> None:
    manifest = steps.apply(board, canary())
    with pytest.raises(ReleaseChangedError, match=r"is at revision 1 .canary piano 2 at 5 %, by me."):
        board.write(replace(manifest, revision=revision))
    assert board.read() == manifest


def test_of_two_promotions_at_once_one_is_refused(board: ReleaseBoard) -> None:
    """The second one finds nothing on trial any more: it does not promote anything else."""
    steps.apply(board, canary())
    barrier, failures = threading.Barrier(2), []

    def race() -> None:
        waited = False

        def step(manifest: Manifest) -> Manifest:
            nonlocal waited
            made = promote(manifest)
            if not waited:
                waited = True
                barrier.wait(60)
            return made

        try:
            steps.apply(board, step)
        except CopyistError as error:
            failures.append(error)

    threads = [threading.Thread(target=race) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [error.slug for error in failures] == ["wrong-step"]
    assert board.read().revision == 2
    assert board.read().models["piano"].stable == TWO


def test_the_history_is_bounded(board: ReleaseBoard) -> None:
    for number in range(HISTORY + 5):
        steps.apply(board, canary((number + 1) / 100))
    history = board.history()
    assert [each.revision for each in history] == list(range(HISTORY + 5, 5, -1))


def test_a_rollback_finds_the_version_before_in_the_history(board: ReleaseBoard) -> None:
    steps.apply(board, canary())
    steps.apply(board, promote)
    board_now = steps.apply(board, lambda now: steps.rollback(now, "piano", history=board.history(), by="me"))
    assert board_now.models["piano"].stable == ONE


def test_many_processes_write_one_after_another(tmp_path: Path) -> None:
    """Each adds a model of its own, so that an update that was lost would be missed."""
    script = (
        "import sys\n"
        "from functools import partial\n"
        "from services.runtime.release import steps\n"
        "from services.runtime.release.board import open_board\n"
        "from services.runtime.release.manifest import ModelVersion\n"
        "one, two = (ModelVersion(str(n), f'{n}' * 64) for n in (1, 2))\n"
        "board = open_board(sys.argv[1])\n"
        "for number in range(6):\n"
        "    steps.apply(board, partial(steps.start_canary, model=f'{sys.argv[2]}-{number}', version=two,\n"
        "        share=0.5, shipped=one, by=sys.argv[2]))\n"
    )
    path = tmp_path / "folder" / "release.json"
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(path), f"w{i}"], cwd=REPOSITORY_ROOT)
        for i in range(5)
    ]
    while any(writer.poll() is None for writer in writers):
        FileBoard(path).read()
        FileBoard(path).history()
    assert [writer.returncode for writer in writers] == [0] * 5
    manifest = FileBoard(path).read()
    assert manifest.revision == 30
    assert set(manifest.models) == {f"w{i}-{number}" for i in range(5) for number in range(6)}
    assert [each.revision for each in FileBoard(path).history()] == list(range(30, 0, -1))
    assert {each.name for each in path.parent.iterdir()} == {
        "release.json",
        "release.json.history",
        "release.json.lock",
    }


def test_a_writer_that_died_between_history_and_manifest_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = file_place(tmp_path)
    first = steps.apply(place.board, canary())
    with monkeypatch.context() as dying:
        dying.setattr(Manifest, "encode", _dies_the_second_time())
        with pytest.raises(KeyboardInterrupt):
            steps.apply(place.board, promote)
    assert place.board.read() == first
    assert place.board.history() == [first]
    held = steps.apply(place.board, canary(0.1))
    assert place.board.history() == [held, first]


def _dies_the_second_time() -> Callable[[Manifest], str]:
    encode, calls = Manifest.encode, []

    def dying(manifest: Manifest) -> str:
        calls.append(manifest)
        # Both manifests are written to the history, then the new one to its file.
        if len(calls) == 3:
            raise KeyboardInterrupt
        return encode(manifest)

    return dying


def test_the_charts_own_manifest_counts_until_there_is_another(api: ApiServer) -> None:
    place = config_map_place(api)
    steps.apply(place.board, canary())
    first = api.object("configmaps", "release")["data"]["manifest.json"]
    api.put("configmaps", {"metadata": {"name": "fresh"}, "data": {"first.json": first}})
    board = ConfigMapBoard(ConfigMaps(connected(api)), "fresh", watch_s=1)
    assert board.read() == next(board.follow(threading.Event())) == place.board.read()
    steps.apply(board, promote)
    # As a rollback of the chart writes its own key again.
    data = api.object("configmaps", "fresh")["data"]
    api.put("configmaps", {"metadata": {"name": "fresh"}, "data": {**data, "first.json": "{}"}})
    assert board.read().revision == 2


def test_a_config_map_that_others_change_is_read_again(api: ApiServer) -> None:
    place = config_map_place(api)
    api.faults.append(Fault(carried_out=True))
    steps.apply(place.board, canary())
    assert place.board.read().revision == 1
    data = api.object("configmaps", "release")["data"]
    assert Manifest.decode(data["manifest.json"]).revision == 1
    assert len(data["history.json"].splitlines()) == 1
    place.remove()
    with pytest.raises(NotInClusterError):
        place.board.read()


def test_the_release_url_says_which_it_is(
    tmp_path: Path, api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(open_board(str(tmp_path / "release.json")), FileBoard)
    monkeypatch.setattr("services.runtime.release.config_map_board.connect", lambda: connected(api))
    config_map_place(api)
    board = open_board("configmap://release")
    assert isinstance(board, ConfigMapBoard)
    assert board.read() == NOTHING_RELEASED


# ---- following


def test_a_change_is_seen_within_a_second(board: ReleaseBoard, follower: Follower) -> None:
    wait_for(lambda: follower.seen == [0])
    expected, taken_s = [0], []
    # The middle one of five tells of the follower; a machine that is held up for a moment delays one.
    for number in range(1, 6):
        steps.apply(board, canary(number / 100))
        written = time.monotonic()
        expected.append(number)
        wait_for(lambda: follower.seen == expected)
        taken_s.append(time.monotonic() - written)
    assert statistics.median(taken_s) < 1


@pytest.mark.parametrize("text", ["{", '{"revision": "x"}', "[1]", "\x00\x01", '{"revision": 3}'])
def test_a_manifest_that_is_none_changes_nothing_and_is_told(
    place: Place, follower: Follower, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    steps.apply(place.board, canary())
    wait_for(lambda: bool(follower.seen) and follower.seen[-1] == 1)
    good = place.board.read()
    place.put(text)
    wait_for(lambda: "cannot be used, revision 1 stays" in caplog.text)
    assert not readable()
    with pytest.raises(BadManifestError):
        place.board.read()
    place.put(replace(good, revision=2).encode())
    wait_for(lambda: follower.seen[-1] == 2)
    assert readable()


def test_a_manifest_that_was_removed_changes_nothing_and_is_told(
    place: Place, follower: Follower, caplog: pytest.LogCaptureFixture
) -> None:
    steps.apply(place.board, canary())
    wait_for(lambda: bool(follower.seen) and follower.seen[-1] == 1)
    text = place.board.read().encode()
    place.remove()
    wait_for(lambda: "revision 1 stays" in caplog.text)
    assert not readable()
    time.sleep(0.5)  # it looks several times more, and has nothing more to tell
    assert follower.seen[-1] == 1
    assert [record.levelno for record in caplog.records if "revision 1 stays" in record.message] == [
        logging.ERROR
    ], "told once"
    place.put(text)
    wait_for(readable)
    place.put(json.dumps({**json.loads(text), "revision": 5}))
    wait_for(lambda: follower.seen[-1] == 5)
    assert follower.seen[-2] == 1, "the same manifest, back in its place, is no news"


def test_a_file_that_cannot_be_read_changes_nothing(tmp_path: Path) -> None:
    place = file_place(tmp_path)
    steps.apply(place.board, canary())
    follower = Follower(place.board)
    try:
        wait_for(lambda: follower.seen == [1])
        place.remove()
        (tmp_path / "release.json").mkdir()
        wait_for(lambda: not readable())
        (tmp_path / "release.json").rmdir()
        steps.apply(place.board, canary())
        wait_for(readable)
    finally:
        follower.close()


def test_a_cluster_that_is_away_is_waited_for(api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.runtime.release.config_map_board._PAUSE_S", 0.1)
    place = config_map_place(api)
    steps.apply(place.board, canary())
    api.rights = set()
    metrics.READABLE.set(1)  # whatever tests before have left
    follower = Follower(place.board)
    try:
        wait_for(lambda: not readable())
        assert follower.seen == []
        api.rights = None
        wait_for(lambda: follower.seen == [1])
        assert readable()
        api.break_watches = 1
        steps.apply(place.board, promote)
        wait_for(lambda: follower.seen == [1, 2])
    finally:
        follower.close()
