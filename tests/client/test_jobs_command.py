"""`copyist jobs` as its users see it, against the real routes over real HTTP."""

from __future__ import annotations

import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.runtime.jobs.job import JobState
from services.runtime.jobs.tables import end_values
from tests.client.command import COMMAND, copyist, environment, heed_interrupts, on_terminal, tree
from tests.client.conftest import write_tone
from tests.runtime.jobs.serving import Served, serving, settings_for
from tests.waiting import PATIENCE_S, wait_for

ID = re.compile(r"[0-9a-f]{32}")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(settings_for(tmp_path / "service")) as running:
        yield running


@pytest.fixture
def addresses(served: Served) -> list[str]:
    return ["--url", served.url, "--pages-url", served.url]


def _worker(served: Served, ends: Callable[[str], None], jobs: int) -> threading.Thread:
    """End the first jobs that come, as a worker would."""

    def work() -> None:
        done: list[str] = []

        def all_are_done() -> bool:
            for job in served.jobs():
                if job not in done:
                    done.append(job)
                    ends(job)
            return len(done) >= jobs

        wait_for(all_are_done)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_submitting_tells_the_jobs(served: Served, addresses: list[str], tmp_path: Path) -> None:
    for name in ("a.wav", "b.flac"):
        write_tone(tmp_path / "in" / name, 0.1)
    (tmp_path / "in/notes.txt").write_text("no music")
    result = copyist("jobs", "submit", "in", "--format", "midi", *addresses, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    ids = ID.findall(result.stdout)
    assert len(set(ids)) == 2
    assert "in/a.wav: job " in result.stdout
    listed = copyist("jobs", "list", "--service", "amt", *addresses)
    assert set(ID.findall(listed.stdout)) == set(ids)
    assert listed.stdout.count("queued") == 2
    again = copyist("jobs", "submit", "in", "--format", "midi", *addresses, cwd=tmp_path)
    assert set(ID.findall(again.stdout)) == set(ids)
    assert "You have no jobs" not in listed.stdout


def test_waiting_writes_the_files(served: Served, addresses: list[str], tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_tone(tmp_path / "in/deep" / f"{name}.wav", 0.1 if name == "a" else 0.2)
    titles = iter(("x", "y"))
    worker = _worker(served, lambda job: served.finish(job, {f"{next(titles)}.mid": b"MThd"}), 2)
    result = copyist(
        *("jobs", "submit", "in", "--format", "midi", "--wait", "-o", "out"), *addresses, cwd=tmp_path
    )
    worker.join()
    assert (result.returncode, result.stderr) == (0, "")
    assert tree(tmp_path / "out") == ["deep/a.mid", "deep/b.mid"]
    assert result.stdout.count(" completed (") == 2


def test_a_failed_job_is_one_line_and_the_exit_status(
    served: Served, addresses: list[str], tmp_path: Path
) -> None:
    write_tone(tmp_path / "a.wav", 0.1)
    problem = {"type": "urn:copyist:problem:unreadable-media", "title": "No", "status": 422}
    told = {**problem, "detail": "It is noise.", "remedy": "Play it.", "instance": "x"}
    failed = end_values(JobState.FAILED, served.settings, told)
    worker = _worker(served, lambda job: served.change(job, **failed), 1)
    result = copyist("jobs", "submit", "a.wav", "--wait", *addresses, cwd=tmp_path)
    worker.join()
    assert result.returncode == 1
    assert result.stderr == "copyist: a.wav: It is noise. Play it.\n"
    (job_id,) = ID.findall(copyist("jobs", "list", "--service", "amt", *addresses).stdout)
    shown = copyist("jobs", "show", job_id, "--url", served.url)
    assert shown.returncode == 0
    assert "failed" in shown.stdout
    assert "It is noise. Play it." in shown.stdout


def test_fetching_what_is_not_there_yet(served: Served, addresses: list[str], tmp_path: Path) -> None:
    write_tone(tmp_path / "a.wav", 0.1)
    (job_id,) = ID.findall(copyist("jobs", "submit", tmp_path / "a.wav", *addresses).stdout)
    early = copyist("jobs", "fetch", job_id, "-o", "out", *addresses, cwd=tmp_path)
    assert early.returncode == 1
    assert f"copyist jobs wait {job_id}" in early.stderr
    served.finish(job_id, {"a.mid": b"MThd", "a.svg": b"<svg/>"})
    for command in ("fetch", "wait"):
        done = copyist("jobs", command, job_id, "-o", command, *addresses, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert tree(tmp_path / command) == ["a.mid", "a.svg"]
    kept = copyist("jobs", "wait", job_id, *addresses, cwd=tmp_path)
    assert "2 files" in kept.stdout


def test_one_job_that_is_not_there_does_not_keep_the_others(
    served: Served, addresses: list[str], tmp_path: Path
) -> None:
    write_tone(tmp_path / "a.wav", 0.1)
    (job_id,) = ID.findall(copyist("jobs", "submit", tmp_path / "a.wav", *addresses).stdout)
    for command in ("show", "cancel", "wait", "fetch"):
        result = copyist("jobs", command, "0" * 32, job_id, *addresses, cwd=tmp_path)
        assert result.returncode == 1
        assert "0" * 32 in result.stderr
        if command == "cancel":
            assert f"{job_id}: cancelled" in result.stdout


def test_ctrl_c_ends_the_waiting_and_says_how_to_go_on(
    served: Served, addresses: list[str], tmp_path: Path
) -> None:
    write_tone(tmp_path / "a.wav", 0.1)
    process = subprocess.Popen(
        [*COMMAND, "jobs", "submit", "a.wav", "--wait", "-o", "out", *addresses],
        cwd=tmp_path,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,  # noqa: PLW1509
    )
    with process:
        wait_for(lambda: bool(served.desk.followers.followed()))
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    (job_id,) = ID.findall(said)
    assert f"copyist jobs wait {job_id} -o out" in said
    assert "Traceback" not in said
    assert "queued" in copyist("jobs", "show", job_id, *addresses).stdout


def test_a_bar_shows_how_far_a_job_is(served: Served, addresses: list[str], tmp_path: Path) -> None:
    write_tone(tmp_path / "a.wav", 0.1)

    seen = threading.Event()

    def end(job: str) -> None:
        served.change(job, state=JobState.TRANSCRIBING.value, progress_percent=40, message="minute 2 of 5")
        seen.wait(PATIENCE_S)
        served.finish(job, {"a.mid": b"MThd"})

    worker = _worker(served, end, 1)
    arguments = ["jobs", "submit", "a.wav", "--format", "midi", "--wait", "-o", "out", *addresses]
    status, shown = on_terminal(arguments, tmp_path, lambda shown: "minute 2 of 5" in shown and seen.set())
    worker.join()
    assert status == 0
    assert "minute 2 of 5" in shown
    assert "━" in shown
    assert "completed" in shown
    assert tree(tmp_path / "out") == ["a.mid"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["submit"], "Missing argument"),
        (["submit", "a.wav", "-o", "out"], "--wait"),
        (["submit", "a.wav", "--colour-by", "staff"], "is for pages"),
        (["submit", "a.png", "--tempo", "90"], "is for recordings"),
        (["submit", "a.png", "--format", "csv"], "omr makes no csv"),
        (["submit", "a.wav", "--format", "overlay"], "amt makes no overlay"),
        (["submit", "a.wav", "--format", "mp3"], "there is no format"),
        (["submit", "a.wav", "b/a.wav", "--format", "midi", "--wait", "-o", "out"], "would both be written"),
        (["list", "--state", "lost"], "There is no state"),
        (["list", "--limit", "0"], "limit"),
        (["wait"], "Missing argument"),
        (["show", "x", "--url", "nonsense"], "no address"),
    ],
)
def test_wrong_command_lines(arguments: list[str], says: str, tmp_path: Path) -> None:
    for name in ("a.wav", "a.png", "b/a.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    result = copyist("jobs", *arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert says in result.stderr


def test_a_name_that_tells_no_service(served: Served, addresses: list[str], tmp_path: Path) -> None:
    (tmp_path / "take1").write_bytes(b"sound")
    unclear = copyist("jobs", "submit", "take1", *addresses, cwd=tmp_path)
    assert unclear.returncode == 1
    assert "amt (recordings) or omr (pages)" in unclear.stderr
    clear = copyist("jobs", "submit", "take1", "--service", "amt", *addresses, cwd=tmp_path)
    assert clear.returncode == 0


def test_no_service_is_one_line(nobody: str, tmp_path: Path) -> None:
    write_tone(tmp_path / "a.wav", 0.1)
    for arguments in (["submit", "a.wav"], ["list"], ["wait", "x"]):
        result = copyist("jobs", *arguments, "--url", nobody, "--pages-url", nobody, cwd=tmp_path)
        assert result.returncode == 1
        (line,) = result.stderr.splitlines()
        assert nobody in line
