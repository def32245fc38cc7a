"""The files of jobs: in a folder, or in a bucket of an object storage that speaks S3."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that was written.

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

    All methods raise StorageUnavailableError when the storage is full or does not answer.
    """

    def __init__(self, url: str) -> None:
        raise NotImplementedError

    def write(self, path: str, source: BinaryIO) -> StoredFile:
        """Write a file from where the source stands to its end; it appears whole or not at all."""
        raise NotImplementedError

    def read(self, path: str) -> bytes:
        """Read a whole file.

        Raises:
            FileNotFoundError: there is none.
        """
        raise NotImplementedError

    def read_range(self, path: str, start: int, end: int) -> Iterator[bytes]:
        """Read the bytes from `start` up to, not including, `end`, in blocks of at most 1 MiB.

        Raises:
            FileNotFoundError: there is none.
        """
        raise NotImplementedError

    def fetch(self, path: str, to: Path) -> StoredFile:
        """Copy a file to a local one, and tell what came.

        Raises:
            FileNotFoundError: there is none.
        """
        raise NotImplementedError

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        raise NotImplementedError

    def list(self, prefix: str) -> list[str]:
        """List the names directly below a folder; none when there is no such folder."""
        raise NotImplementedError

    def remove_tree(self, prefix: str) -> None:
        """Remove a folder with all that is in it; no harm when there is none."""
        raise NotImplementedError


def input_path(job_id: str, number: int) -> str:
    """Where an uploaded file of a job lies; counted from 0."""
    return f"jobs/{job_id}/input/{number}"


def kept_path(job_id: str, name: str) -> str:
    """Where an intermediate result of a job lies."""
    return f"jobs/{job_id}/kept/{name}"


def file_path(job_id: str, name: str) -> str:
    """Where a file that a job made lies."""
    return f"jobs/{job_id}/files/{name}"


def job_folder(job_id: str) -> str:
    """Where everything of a job lies."""
    return f"jobs/{job_id}"
