"""Request ids: the caller's own where it is a sensible one, or a new one."""

from __future__ import annotations

import re
import uuid
from typing import Final

_SENSIBLE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def request_id_from(text: str) -> str:
    """Take `text` as a request's id if it is short and plain (it is written to logs), or make a new id."""
    return text if _SENSIBLE.fullmatch(text) else uuid.uuid4().hex
