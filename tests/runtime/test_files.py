"""The storage of files: a folder, and a real S3 endpoint."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.errors import StorageUnavailableError
from services.runtime.files import BLOCK_BYTES, FileStore, StorageFullError, StoredFile, is_full
from tests.databases import S3Server, free_port
from tests.waiting import wait_for


@pytest.fixture(params=["folder", "s3"])
def files(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileStore:
    if request.param == "folder":
        return FileStore(str(tmp_path / "not" / "yet"))
    server: S3Server = request.getfixturevalue("s3_server")
    for name, value in server.variables.items():
        monkeypatch.setenv(name, value)
    return FileStore(server.new_bucket())


class Breaking(io.RawIOBase):
    """A source that breaks off."""

    def __init__(self, size: int, error: Exception) -> None:
        self.left = size
        self.error = error

    def read(self, size: int = -1) -> bytes:
        if self.left <= 0:
            raise self.error
        self.left -= size
        return bytes(size)


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES, 6 * BLOCK_BYTES + 7])
def test_files_come_back_as_they_were_written(files: FileStore, tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    source = io.BytesIO(b"before" + content)
    source.seek(6)

    stored = files.write("jobs/a/input/0", source)

    assert stored == StoredFile(size, hashlib.sha256(content).hexdigest())
    assert files.read("jobs/a/input/0") == content
    assert files.fetch("jobs/a/input/0", tmp_path / "copy") == stored
    assert (tmp_path / "copy").read_bytes() == content
    assert b"".join(files.read_range("jobs/a/input/0", 0, size)) == content


def test_ranges_are_read_in_bounded_blocks(files: FileStore) -> None:
    content = os.urandom(3 * BLOCK_BYTES)
    files.write("jobs/a/files/x", io.BytesIO(content))

    blocks = list(files.read_range("jobs/a/files/x", 5, 2 * BLOCK_BYTES + 9))

    assert b"".join(blocks) == content[5 : 2 * BLOCK_BYTES + 9]
    assert max(map(len, blocks)) <= BLOCK_BYTES
    assert b"".join(files.read_range("jobs/a/files/x", 3 * BLOCK_BYTES - 2, 9 * BLOCK_BYTES)) == content[-2:]


def test_what_is_not_there_is_told_as_such(files: FileStore, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        files.read("jobs/none/kept/x")
    with pytest.raises(FileNotFoundError):
        files.read_range("jobs/none/files/x", 0, 1)
    with pytest.raises(FileNotFoundError):
        files.fetch("jobs/none/input/0", tmp_path / "copy")
    assert not files.exists("jobs/none/input/0")
    assert files.list("jobs/none") == []
    assert files.changed_at("jobs/none") is None
    files.remove_tree("jobs/none")


def test_a_file_that_breaks_off_leaves_nothing(files: FileStore) -> None:
    files.write("jobs/a/kept/x", io.BytesIO(b"former"))
    for error, told in (
        (OSError(errno.ENOSPC, "no space"), StorageFullError),
        (ConnectionResetError("the caller went away"), StorageUnavailableError),
        (KeyError("a slip"), KeyError),
    ):
        for path in ("jobs/a/kept/x", "jobs/a/kept/y"):
            with pytest.raises(told):
                files.write(path, Breaking(8 * BLOCK_BYTES, error))  # type: ignore[arg-type]

    assert files.read("jobs/a/kept/x") == b"former"
    assert files.list("jobs/a/kept") == ["x"]


def test_a_job_is_removed_with_all_its_files_and_no_other(files: FileStore) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    for path in ("jobs/a/input/0", "jobs/a/kept/x", "jobs/a/files/y", "jobs/ab/input/0"):
        files.write(path, io.BytesIO(b"x"))
    assert files.list("jobs") == ["a", "ab"]
    assert files.list("jobs/a") == ["files", "input", "kept"]
    changed_at = files.changed_at("jobs/a")
    assert changed_at is not None
    assert before < changed_at < datetime.now(UTC) + timedelta(seconds=2)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(files.remove_tree, ["jobs/a"] * 4))

    assert files.list("jobs") == ["ab"]


def test_what_a_writer_that_died_has_left_is_removed_and_no_whole_file(tmp_path: Path) -> None:
    files = FileStore(str(tmp_path))
    files.write("jobs/1/files/whole", io.BytesIO(b"whole"))
    files.write("jobs/2/files/whole", io.BytesIO(b"whole"))
    writer = (
        "import os, sys; from services.runtime.files import FileStore; reads, _ = os.pipe();"
        "FileStore(sys.argv[1]).write('jobs/1/files/begun', os.fdopen(reads, 'rb'))"
    )
    process = subprocess.Popen([sys.executable, "-c", writer, str(tmp_path)])
    wait_for(lambda: len(list((tmp_path / "jobs/1/files").iterdir())) == 2)
    process.kill()
    process.wait()
    assert files.list("jobs/1/files") == ["whole"]
    files.remove_unfinished("jobs/2")
    assert len(list((tmp_path / "jobs/1/files").iterdir())) == 2
    files.remove_unfinished("jobs/1")
    assert [path.name for path in (tmp_path / "jobs").rglob("*") if path.is_file()] == ["whole"] * 2
    files.remove_unfinished("jobs/3")


def test_many_threads_write_the_same_file_whole(files: FileStore) -> None:
    contents = [bytes([number]) * 100_000 for number in range(8)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda content: files.write("jobs/a/kept/x", io.BytesIO(content)), contents))

    assert files.read("jobs/a/kept/x") in contents
    assert files.list("jobs/a/kept") == ["x"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_is_told_and_goes_on_to_be_of_use(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], check=False).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        files = FileStore(str(disk))
        with pytest.raises(StorageFullError) as told:
            files.write("jobs/a/input/0", io.BytesIO(bytes(4 << 20)))
        assert is_full(told.value)
        assert told.value.status == 503
        assert files.list("jobs/a/input") == []
        files.write("jobs/b/input/0", io.BytesIO(bytes(1 << 20)))
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_storage_that_is_away_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = S3Server(f"http://127.0.0.1:{free_port()}").variables
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    files = FileStore("s3://bucket/files")
    with pytest.raises(StorageUnavailableError):
        files.write("jobs/a/input/0", io.BytesIO(b"x"))
    with pytest.raises(StorageUnavailableError):
        files.read("jobs/a/input/0")
