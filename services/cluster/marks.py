"""The marks by which objects that were started here are known again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

#: Label of all that is started here.
MANAGED_BY: Final = {"app.kubernetes.io/managed-by": "copyist"}
#: Annotation: the digest of the manifest that an object was started from.
MANIFEST_SHA256: Final = "copyist.io/manifest-sha256"


def marked(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with the marks by which its object will be known again."""
    metadata = manifest["metadata"]
    digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    return {
        **manifest,
        "metadata": {
            **metadata,
            "labels": {**metadata.get("labels", {}), **MANAGED_BY},
            "annotations": {**metadata.get("annotations", {}), MANIFEST_SHA256: digest},
        },
    }


def same_marks(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether two objects, by their metadata, came of equal manifests and were both started here."""
    return all(
        found.get(part, {}).get(mark) == wanted[part][mark]
        for part, marks in (("labels", MANAGED_BY), ("annotations", (MANIFEST_SHA256,)))
        for mark in marks
    )
