"""Published versions of models: files by their digests, and an index of each version that names them.

Below `models_url` lie `blobs/SHA256`, the files, and `MODEL/versions/NUMBER.json`, the indices. An index is
written once and last, so what has one is whole; its own digest is what a release manifest names. Beside the
published versions there is the one that was shipped with Copyist, in Triton's layout.
"""

from __future__ import annotations

import hashlib
import logging
import re
import shutil
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from services.errors import CopyistError, InputError, ModelError
from services.runtime.cards import parse_card
from services.runtime.disk import flush, sha256_of
from services.runtime.files import FileStore, StoredFile
from services.runtime.release.index import CARD_FILE, FILES, MODEL_FILE, DamagedArtefactError, Index
from services.runtime.release.manifest import ModelVersion

log = logging.getLogger("copyist.release")

#: What is still being written has a name that ends so; after a crash it may be removed.
PART_SUFFIX: Final = ".part"
_NAME: Final = r"[a-z][a-z0-9_-]{0,62}"
_SHIPPED_NOTE: Final = "as shipped"
#: The largest card, in bytes: services keep those of all versions that serve in memory.
MOST_CARD_BYTES: Final = 1 << 20


class UnknownVersionError(CopyistError):
    """There is no such model, or no such version of it."""

    slug = "unknown-version"
    title = "There is no such version of the model"
    status = 404


class BadArtefactError(InputError):
    """What was to be published is not what a version consists of."""

    slug = "bad-artefact"
    title = "This cannot be published"


class Artefacts:
    """The versions of all models, published and shipped. Synchronous, for any number of threads.

    Args:
        models_url: where published versions lie: a folder, or `s3://BUCKET/PREFIX`.
        shipped: the model repository that came with Copyist.

    All methods may raise StorageUnavailableError where `models_url` does not answer.
    """

    def __init__(self, models_url: str, shipped: Path) -> None:
        self._files = FileStore(models_url)
        self._shipped = shipped

    def publish(self, model: str, folder: Path, note: str = "") -> ModelVersion:
        """Publish a folder as the next version.

        The shipped version is kept beside it, so that later ones can be rolled back to it even when another
        is shipped by then.

        Args:
            model: one of those that were shipped: its tensors and its configuration stay the same.
            folder: with `model.onnx` and `card.json`.
            note: where it comes from.

        Returns:
            The version, numbered above all others of the model.

        Raises:
            UnknownVersionError: there is no such model.
            BadArtefactError: the folder lacks a file, or the card is no JSON object of at most 1 MiB.
        """
        shipped = self._shipped_index(model)
        files = {name: self._put(folder / name) for name in _checked(folder)}
        self._keep(shipped)
        latest = int(shipped.number)
        while True:
            latest = max(latest, *self._published(model)) + 1
            index = Index(model, str(latest), files, note)
            with suppress(FileExistsError):  # someone else has published at the same time
                self._files.create(_index_path(model, index.number), index.encode())
                log.info("published %s %s: %s", model, index.number, note or "no note")
                return index.version

    def models(self) -> list[str]:
        """List the models that were shipped, by name."""
        return sorted(path.parent.name for path in self._shipped.glob("*/config.pbtxt"))

    def shipped(self, model: str) -> ModelVersion:
        """Tell the version that came with Copyist.

        Raises:
            UnknownVersionError: there is no such model.
        """
        return self._shipped_index(model).version

    def find(self, model: str, number: str) -> ModelVersion:
        """Find a version by its number; a published one before the shipped one.

        Raises:
            UnknownVersionError: there is none.
            DamagedArtefactError: its index is none.
        """
        return self.index(model, number).version

    def index(self, model: str, number: str) -> Index:
        """Tell what a version consists of; finds it, and raises, as `find`."""
        shipped = self._shipped_index(model)
        published = self._published(model)
        if number in map(str, published):
            return self._read_index(model, number)
        if number == shipped.number:
            return shipped
        known = sorted({*published, int(shipped.number)})
        raise UnknownVersionError(
            f"There is no version {number} of the model {model}.",
            remedy=f"There are: {', '.join(map(str, known))}.",
        )

    def versions(self, model: str) -> list[ModelVersion]:
        """List all versions, oldest first, the shipped one included; raises as `find`."""
        numbers = {*self._published(model), int(self._shipped_index(model).number)}
        return [self.find(model, str(number)) for number in sorted(numbers)]

    def fetch(self, model: str, version: ModelVersion, to: Path) -> None:
        """Copy a version's files into a folder, which appears whole or not at all.

        While they come they lie beside it, in a folder whose name ends with `PART_SUFFIX`.

        Args:
            model: whose version.
            version: which one.
            to: the folder; it must not be there, but its parent must.

        Raises:
            UnknownVersionError: there is no such version.
            DamagedArtefactError: its files are not what it names.
            FileExistsError: the folder is there.
        """
        index, shipped = self._exactly(model, version)
        if to.exists():
            raise FileExistsError(f"{to} exists")
        aside = to.with_name(f".{to.name}.{uuid.uuid4().hex}{PART_SUFFIX}")
        aside.mkdir()
        try:
            for name in index.files:
                self._fetch_file(index, name, shipped, aside / name)
            flush(aside)
            aside.rename(to)
            flush(to.parent)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise

    def read(self, model: str, version: ModelVersion, name: str) -> bytes:
        """Read one of a version's files, `model.onnx` or `card.json`.

        Raises:
            UnknownVersionError: there is no such version.
            DamagedArtefactError: the file is not what the version names.
        """
        index, shipped = self._exactly(model, version)
        try:
            if shipped is not None:
                content = shipped[name].read_bytes()
            else:
                content = self._files.read(_blob_path(index.files[name].sha256))
        except FileNotFoundError:
            raise index.damage(name, None) from None
        found = StoredFile(len(content), hashlib.sha256(content).hexdigest())
        if found != index.files[name]:
            raise index.damage(name, found)
        return content

    def _fetch_file(self, index: Index, name: str, shipped: Mapping[str, Path] | None, to: Path) -> None:
        try:
            if shipped is not None:
                shutil.copyfile(shipped[name], to)
                found = _told(to)
            else:
                found = self._files.fetch(_blob_path(index.files[name].sha256), to)
        except FileNotFoundError:
            raise index.damage(name, None) from None
        if found != index.files[name]:
            raise index.damage(name, found)
        flush(to)

    def _exactly(self, model: str, version: ModelVersion) -> tuple[Index, Mapping[str, Path] | None]:
        """Find the index of a version, and where its files lie where it is the shipped one."""
        shipped = self._shipped_index(model)
        if shipped.version == version:
            return shipped, self._shipped_files(model, shipped.number)
        try:
            index = self._read_index(model, version.number)
        except FileNotFoundError:
            raise UnknownVersionError(
                f"The version {version.number} of {model} with the digest {version.digest[:12]} was neither "
                "published here (COPYIST_MODELS_URL) nor shipped."
            ) from None
        if index.version != version:
            raise DamagedArtefactError(
                f"Version {version.number} of {model} is {index.version.digest[:12]} where it was published, "
                f"not {version.digest[:12]} as it was released."
            )
        return index, None

    def _put(self, path: Path) -> StoredFile:
        """Write a file by its digest, unless it is there as it should be."""
        file = _told(path)
        with path.open("rb") as source:
            if self._sound(file):
                return file
            written = self._files.write(_blob_path(file.sha256), source)
        if written != file:
            raise BadArtefactError(f"{path} was changed while it was published.", remedy="Publish it again.")
        return file

    def _sound(self, file: StoredFile) -> bool:
        """Whether a file is there and undamaged."""
        digest = hashlib.sha256()
        try:
            for block in self._files.read_range(_blob_path(file.sha256), 0, file.size + 1):
                digest.update(block)
        except FileNotFoundError:
            return False
        return digest.hexdigest() == file.sha256

    def _keep(self, shipped: Index) -> None:
        """Publish the shipped version as it is, unless one of its number is."""
        if int(shipped.number) in self._published(shipped.model):
            return
        for path in self._shipped_files(shipped.model, shipped.number).values():
            self._put(path)
        with suppress(FileExistsError):
            self._files.create(_index_path(shipped.model, shipped.number), shipped.encode())

    def _published(self, model: str) -> list[int]:
        """List the numbers of the published versions."""
        names = (name.removesuffix(".json") for name in self._files.list(f"{model}/versions"))
        return [int(name) for name in names if name.isdecimal()]

    def _read_index(self, model: str, number: str) -> Index:
        return Index.decode(self._files.read(_index_path(model, number)), model, number)

    def _shipped_index(self, model: str) -> Index:
        folder = self._shipped / model
        numbers = [int(path.name) for path in folder.glob("*") if path.name.isdecimal()]
        if not re.fullmatch(_NAME, model) or not numbers:
            raise UnknownVersionError(
                f"There is no model {model}.",
                remedy=f"The models are: {', '.join(self.models())}.",
            )
        number = str(max(numbers))
        files = {name: _told(path) for name, path in self._shipped_files(model, number).items()}
        return Index(model, number, files, _SHIPPED_NOTE)

    def _shipped_files(self, model: str, number: str) -> dict[str, Path]:
        folder = self._shipped / model
        return {MODEL_FILE: folder / number / MODEL_FILE, CARD_FILE: folder / CARD_FILE}


def _checked(folder: Path) -> tuple[str, ...]:
    """Check what is to be published; gives the names of its files."""
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise BadArtefactError(
            f"{folder} has no {' and no '.join(missing)}.", remedy=f"A version is {' and '.join(FILES)}."
        )
    card = folder / CARD_FILE
    if card.stat().st_size > MOST_CARD_BYTES:
        raise BadArtefactError(f"{card} is larger than the limit of {MOST_CARD_BYTES} bytes.")
    try:
        parse_card(card.read_bytes(), str(card))
    except ModelError as error:
        raise BadArtefactError(error.detail, remedy=error.remedy) from None
    return FILES


def _told(path: Path) -> StoredFile:
    """Tell size and digest of a file."""
    return StoredFile(path.stat().st_size, sha256_of(path))


def _index_path(model: str, number: str) -> str:
    return f"{model}/versions/{number}.json"


def _blob_path(sha256: str) -> str:
    return f"blobs/{sha256}"
