"""Text that others wrote, made fit to be shown."""

from __future__ import annotations


def printable(text: str) -> str:
    """Escape what is no letter, digit, sign or blank: line ends, and what a terminal would obey."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shortened(text: str, most: int) -> str:
    """Keep the beginning and the end of a text that is longer than `most` characters."""
    if len(text) <= most:
        return text
    half = (most - 3) // 2
    return f"{text[:half]}...{text[-half:]}"
