"""The files of jobs and models: in a folder, or in a bucket of an object storage that speaks S3."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

import fsspec
from botocore.exceptions import BotoCoreError, ClientError

from services.errors import StorageUnavailableError

#: What is read or written at a time, in bytes.
BLOCK_BYTES: Final = 1 << 20
_PART_SUFFIX: Final = ".part"
_S3_SCHEME: Final = "s3://"
#: Seconds and attempts after which the object storage counts as away. Address and credentials come from what
#: all of AWS's own tools read (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, pod identity ...).
_S3_CONFIG: Final = {"connect_timeout": 5, "read_timeout": 30, "retries": {"max_attempts": 3}}
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class StorageFullError(StorageUnavailableError):
    """There is no room left for files."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that was written, or fetched.

    Attributes:
        size: in bytes.
        sha256: of its content, in hex.
    """

    size: int
    sha256: str


class FileStore:
    """Files by their path; synchronous, for any number of threads.

    Paths are of the form `jobs/ID/input/0` and are made by Copyist, never of what users send.

    Args:
        url: a folder (made when it is needed), or `s3://BUCKET/PREFIX`.

    All methods raise StorageFullError or StorageUnavailableError when the storage is full or does not answer.
    """

    def __init__(self, url: str) -> None:
        self._is_s3 = url.startswith(_S3_SCHEME)
        self._root = url.removeprefix(_S3_SCHEME).rstrip("/") if self._is_s3 else str(Path(url).absolute())
        # Listings are not kept: other processes write too, and a cache of them would only grow.
        self._files: Any = (
            fsspec.filesystem(
                "s3", config_kwargs=_S3_CONFIG, use_listings_cache=False, skip_instance_cache=True
            )
            if self._is_s3
            else fsspec.filesystem("file", use_listings_cache=False, skip_instance_cache=True)
        )

    def write(self, path: str, source: BinaryIO) -> StoredFile:
        """Write a file from where the source stands to its end; it appears whole or not at all."""
        with storage_errors():
            return self._write_object(path, source) if self._is_s3 else self._write_local(path, source)

    def create(self, path: str, content: bytes) -> None:
        """Write a small file unless there is one; of several who try at once, one succeeds.

        Raises:
            FileExistsError: there is one.
        """
        with storage_errors():
            if self._is_s3:
                self._files.pipe_file(self._full(path), content, mode="create")
            else:
                self._create_local(path, content)

    def read(self, path: str) -> bytes:
        """Read a whole file.

        Raises:
            FileNotFoundError: there is none.
        """
        with storage_errors():
            content: bytes = self._files.cat_file(self._full(path))
            return content

    def read_range(self, path: str, start: int, end: int) -> Iterator[bytes]:
        """Read the bytes from `start` up to, not including, `end`, in blocks of at most 1 MiB.

        Raises:
            FileNotFoundError: there is none.
        """
        with storage_errors():
            self._files.info(self._full(path))
        return self._blocks(path, start, end)

    def fetch(self, path: str, to: Path) -> StoredFile:
        """Copy a file to a local one, and tell what came.

        Raises:
            FileNotFoundError: there is none.
        """
        with storage_errors(), self._files.open(self._full(path), "rb") as source, to.open("wb") as target:
            return _copy(source, target)

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        with storage_errors():
            return bool(self._files.exists(self._full(path)))

    def list(self, prefix: str) -> list[str]:
        """List the names directly below a folder; none when there is no such folder."""
        with storage_errors():
            try:
                paths = self._files.ls(self._full(prefix), detail=False)
            except FileNotFoundError:
                return []
        names = (path.rstrip("/").rpartition("/")[2] for path in paths)
        return sorted(name for name in names if name and not name.endswith(_PART_SUFFIX))

    def changed_at(self, prefix: str) -> datetime | None:
        """When a folder, or a file below it, was last written; None where there is none."""
        with storage_errors():
            found = self._files.find(self._full(prefix), withdirs=not self._is_s3, detail=True).values()
        return max((_modified(info) for info in found), default=None)

    def remove_tree(self, prefix: str) -> None:
        """Remove a folder with all that is in it; no harm when there is none."""
        full = self._full(prefix)
        with storage_errors():
            # Another process may be removing it too, or a former attempt at the job still write into it.
            for _ in range(3):
                with suppress(FileNotFoundError):
                    self._files.rm(full, recursive=True)
                if not self._files.exists(full):
                    return

    def remove_unfinished(self, prefix: str) -> None:
        """Remove what writers that died have left below a folder of files that they never finished.

        In object storage nothing of such files appears; the bucket's rules are to end unfinished uploads.
        """
        if not self._is_s3:
            with storage_errors():
                for part in Path(self._full(prefix)).rglob(f"*{_PART_SUFFIX}"):
                    part.unlink(missing_ok=True)

    def _full(self, path: str) -> str:
        return f"{self._root}/{path}"

    def _blocks(self, path: str, start: int, end: int) -> Iterator[bytes]:
        with storage_errors(), self._files.open(self._full(path), "rb", block_size=BLOCK_BYTES) as source:
            source.seek(start)
            while start < end and (block := source.read(min(BLOCK_BYTES, end - start))):
                start += len(block)
                yield block

    def _write_local(self, path: str, source: BinaryIO) -> StoredFile:
        target = Path(self._full(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_name(f"{target.name}.{uuid.uuid4().hex}{_PART_SUFFIX}")
        try:
            with aside.open("wb") as file:
                stored = _copy(source, file)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(target)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        return stored

    def _create_local(self, path: str, content: bytes) -> None:
        target = Path(self._full(path))
        aside = f"{path}.{uuid.uuid4().hex}{_PART_SUFFIX}"
        self._write_local(aside, io.BytesIO(content))
        try:
            # A link, unlike a rename, does not replace what is there.
            target.hardlink_to(self._full(aside))
        finally:
            Path(self._full(aside)).unlink()

    def _write_object(self, path: str, source: BinaryIO) -> StoredFile:
        file = self._files.open(self._full(path), "wb")
        try:
            stored = _copy(source, file)
        except BaseException:
            # Closing it would finish the object with what came so far.
            file.discard()
            file.closed = True
            raise
        file.close()
        return stored


@contextmanager
def storage_errors() -> Iterator[None]:
    """Make Copyist's errors of what goes wrong with files, other than that one is there or is not."""
    try:
        yield
    except (FileNotFoundError, FileExistsError):
        raise
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFullError(
                "The storage of files is full.", remedy="Try again later, or ask the operator to make room."
            ) from error
        raise _away(error) from error
    except (BotoCoreError, ClientError) as error:
        raise _away(error) from error


def is_full(error: BaseException) -> bool:
    """Whether an error, or one that led to it, says that a disk is full."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, StorageFullError) or (isinstance(cause, OSError) and cause.errno in _FULL):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _away(error: Exception) -> StorageUnavailableError:
    return StorageUnavailableError(
        f"The storage of files does not answer as it should ({type(error).__name__}).",
        remedy="Try again in a few seconds.",
    )


def _copy(source: BinaryIO, target: BinaryIO) -> StoredFile:
    digest, size = hashlib.sha256(), 0
    while block := source.read(BLOCK_BYTES):
        digest.update(block)
        size += len(block)
        target.write(block)
    return StoredFile(size, digest.hexdigest())


def _modified(info: dict[str, Any]) -> datetime:
    if "LastModified" in info:
        moment: datetime = info["LastModified"]
        return moment
    return datetime.fromtimestamp(info["mtime"], UTC)


def job_folder(job_id: str) -> str:
    """Where everything of a job lies."""
    return f"jobs/{job_id}"


def input_path(job_id: str, number: int) -> str:
    """Where an uploaded file of a job lies; counted from 0."""
    return f"{job_folder(job_id)}/input/{number}"


def kept_folder(job_id: str) -> str:
    """Where all intermediate results of a job lie."""
    return f"{job_folder(job_id)}/kept"


def kept_path(job_id: str, name: str) -> str:
    """Where an intermediate result of a job lies."""
    return f"{kept_folder(job_id)}/{name}"


def file_path(job_id: str, sha256: str) -> str:
    """Where a file that a job made lies: by its digest, so that a lost attempt cannot change a result."""
    return f"{job_folder(job_id)}/files/{sha256}"
