"""The index of a published version: what it consists of, and so what exactly it is."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.errors import CopyistError
from services.runtime.files import StoredFile
from services.runtime.release.manifest import ModelVersion

MODEL_FILE: Final = "model.onnx"
CARD_FILE: Final = "card.json"
#: The files of a version.
FILES: Final = (MODEL_FILE, CARD_FILE)


class DamagedArtefactError(CopyistError):
    """The files of a version are not, or no longer, those that were published."""

    slug = "damaged-artefact"
    title = "The files of a version are damaged"


@dataclass(frozen=True, slots=True)
class Index:
    """What a version consists of.

    Attributes:
        model: whose version it is.
        number: which one.
        files: their sizes and digests, by the names of `FILES`.
        note: where it comes from, such as the run that made it.
    """

    model: str
    number: str
    files: Mapping[str, StoredFile]
    note: str

    def encode(self) -> bytes:
        """Write as JSON: the same index is always the same bytes."""
        said = {
            "model": self.model,
            "number": self.number,
            "files": {name: {"sha256": file.sha256, "size": file.size} for name, file in self.files.items()},
            "note": self.note,
        }
        return json.dumps(said, sort_keys=True, separators=(",", ":")).encode()

    @staticmethod
    def decode(content: bytes, model: str, number: str) -> Index:
        """Read what `encode` wrote for this version.

        Raises:
            DamagedArtefactError: it is not that.
        """
        try:
            said = json.loads(content)
            files = {name: _file(of_file) for name, of_file in said["files"].items()}
            index = Index(str(said["model"]), str(said["number"]), files, str(said["note"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedArtefactError(f"The index of {model} {number} cannot be read ({error!r}).") from None
        right = (index.model, index.number, set(files)) == (model, number, set(FILES))
        if not right or index.encode() != content:
            raise DamagedArtefactError(f"The index of {model} {number} is not one of that version.")
        return index

    @property
    def version(self) -> ModelVersion:
        """The version by its number and what it is."""
        return ModelVersion(self.number, hashlib.sha256(self.encode()).hexdigest())

    def damage(self, name: str, found: StoredFile | None) -> DamagedArtefactError:
        """Make the error that a file is missing (None), or is something else than what was published."""
        stated = self.files[name]
        what = (
            "is missing" if found is None else f"has {found.size} bytes with the digest {found.sha256[:12]}"
        )
        return DamagedArtefactError(
            f"{name} of {self.model} {self.number} {what}; published were {stated.size} bytes with "
            f"{stated.sha256[:12]}.",
            remedy="Publish the version anew, and release that one.",
        )


def _file(said: Mapping[str, Any]) -> StoredFile:
    if not re.fullmatch("[0-9a-f]{64}", said["sha256"]):
        raise ValueError(f"{said['sha256']!r} is no digest")
    return StoredFile(int(said["size"]), said["sha256"])
