"""What the local stack raises."""

from __future__ import annotations

from services.errors import CopyistError


class StackError(CopyistError):
    """The local stack cannot do what was asked; the message is one line for the person at the terminal."""

    slug = "local-stack"
    title = "The local stack cannot do that"
