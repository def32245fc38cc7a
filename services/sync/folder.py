"""The model repository that a Triton server is given, as the agent keeps it.

    MODEL/config.pbtxt            the shipped configuration, naming the versions that Triton starts with
    MODEL/NUMBER/model.onnx       a version, with its card
    MODEL/NUMBER/version.json     what exactly it is, by which it is known again after a restart
    .aside/                       what is being written or removed: never served, and cleared at the start
    .synchronised                 there once a Triton may be started

Whatever appears under a name that Triton reads appears whole, by a renaming.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from services.errors import CopyistError, ModelError
from services.runtime.disk import flush, sha256_of
from services.runtime.files import storage_errors
from services.runtime.release.artefacts import Artefacts
from services.runtime.release.index import FILES
from services.runtime.release.manifest import BadManifestError, ModelVersion
from services.sync.configuration import Configuration

_CONFIGURATION: Final = "config.pbtxt"
_RECORD: Final = "version.json"


class FolderTakenError(CopyistError):
    """Another agent keeps this folder."""

    slug = "folder-taken"
    title = "Another agent keeps this model repository"


class ModelFolder:
    """A model repository on the local disk.

    Args:
        root: the folder; it is made.
        shipped: the repository that came with Copyist, whose models and configurations it has.
        warm_up: whether Triton warms versions up as their configurations say.

    Methods that write raise StorageUnavailableError where the disk does not take it.
    """

    def __init__(self, root: Path, shipped: Path, *, warm_up: bool = True) -> None:
        self._root = root
        self._shipped = shipped
        self._warm_up = warm_up
        self._aside = root / ".aside"
        self._synchronised = root / ".synchronised"

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Be the only one that keeps it, for as long as the block runs.

        Raises:
            FolderTakenError: someone else does.
        """
        with storage_errors():
            self._root.mkdir(parents=True, exist_ok=True)
        with (self._root / ".lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FolderTakenError(f"Another `copyist sync` keeps {self._root}.") from None
            with storage_errors():
                shutil.rmtree(self._aside, ignore_errors=True)
                self._aside.mkdir()
            yield

    @property
    def synchronised(self) -> bool:
        """Whether a Triton may have been started with it."""
        return self._synchronised.exists()

    def set_synchronised(self, synchronised: bool) -> None:
        """Tell whether it holds all that a Triton needs to start."""
        with storage_errors():
            if synchronised:
                self._synchronised.touch()
            else:
                self._synchronised.unlink(missing_ok=True)

    def configuration(self, model: str) -> Configuration:
        """Read a model's shipped configuration.

        Raises:
            ModelError: there is none, or it cannot be read.
        """
        try:
            text = (self._shipped / model / _CONFIGURATION).read_text("utf-8")
        except OSError as error:
            raise ModelError(f"{self._shipped / model} has no {_CONFIGURATION} ({error.strerror}).") from None
        return Configuration(text, warm_up=self._warm_up)

    def named(self, model: str) -> frozenset[str]:
        """The versions that a Triton would start with."""
        try:
            return Configuration((self._root / model / _CONFIGURATION).read_text("utf-8")).versions
        except (OSError, ModelError):
            return frozenset()

    def name(self, model: str, versions: Iterable[str]) -> bool:
        """Set the versions that a Triton would start with; tells whether that was a change."""
        path, text = self._root / model / _CONFIGURATION, self.configuration(model).text(versions)
        with suppress(OSError):
            if path.read_text("utf-8") == text:
                return False
        aside = self._new_aside()
        with storage_errors():
            path.parent.mkdir(exist_ok=True)
            aside.write_text(text, "utf-8")
            flush(aside)
            aside.replace(path)
            flush(path.parent)
        return True

    def numbers(self, model: str) -> frozenset[str]:
        """The numbers of the versions that lie here."""
        with suppress(OSError):
            return frozenset(path.name for path in (self._root / model).iterdir() if path.name.isdecimal())
        return frozenset()

    def version(self, model: str, number: str) -> ModelVersion | None:
        """Tell what lies here under a number, undamaged; reads all of it."""
        folder = self._root / model / number
        try:
            record = json.loads((folder / _RECORD).read_bytes())
            version = ModelVersion(number, record["digest"])
            return version if record == _record(version, folder) else None
        except (OSError, ValueError, KeyError, TypeError, BadManifestError):
            return None

    def place(self, model: str, version: ModelVersion, artefacts: Artefacts) -> None:
        """Fetch a version, in place of whatever has its number.

        Raises:
            UnknownVersionError, DamagedArtefactError: as `Artefacts.fetch`.
        """
        aside = self._new_aside()
        with storage_errors():
            artefacts.fetch(model, version, aside)
            record = aside / _RECORD
            record.write_text(json.dumps(_record(version, aside)))
            flush(record)
            flush(aside)
            folder = self._root / model / version.number
            folder.parent.mkdir(exist_ok=True)
            self.drop(model, version.number)
            aside.rename(folder)
            flush(folder.parent)

    def drop(self, model: str, number: str) -> None:
        """Remove a version, if it is here."""
        aside = self._new_aside()
        with storage_errors(), suppress(FileNotFoundError):
            (self._root / model / number).rename(aside)
            shutil.rmtree(aside)

    def _new_aside(self) -> Path:
        return self._aside / uuid.uuid4().hex


def _record(version: ModelVersion, folder: Path) -> Mapping[str, Any]:
    """Tell what a folder's files are."""
    return {
        "version": version.number,
        "digest": version.digest,
        "files": {n: sha256_of(folder / n) for n in FILES},
    }
