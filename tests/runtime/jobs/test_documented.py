"""What the page for teams tells callers to run, run."""

from __future__ import annotations

import re
import time
from typing import Any

from services.runtime.jobs.webhooks import SIGNATURE_HEADER, signature
from services.triton.environment import REPOSITORY_ROOT

PAGE = (REPOSITORY_ROOT / "docs/teams.md").read_text()


def test_the_documented_check_of_a_webhook_accepts_ours_and_nothing_else() -> None:
    assert f"`{SIGNATURE_HEADER}: t=" in PAGE
    (code,) = (
        block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "is_genuine" in block
    )
    names: dict[str, Any] = {}
    exec(code, names)
    is_genuine = names["is_genuine"]
    now, body = int(time.time()), '{"state": "completed", "title": "é"}'.encode()
    genuine = signature("secret", now, body)
    assert is_genuine("secret", genuine, body)
    assert not is_genuine("other", genuine, body)
    assert not is_genuine("secret", genuine, body + b" ")
    assert not is_genuine("secret", signature("secret", now - 3600, body), body)
    assert not is_genuine("secret", f"t={now},v1={'0' * 64}", body)
