"""Options as texts by name, as they come over the wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.errors import UnknownOptionError


def given(texts: Mapping[str, str], known: Sequence[str]) -> dict[str, str]:
    """Take the options that say something; an empty text counts as absent.

    Raises:
        UnknownOptionError: a name that is not known.
    """
    for name in texts:
        if name not in known:
            raise UnknownOptionError(
                f"There is no option {name!r}.", remedy=f"The options are: {', '.join(known)}."
            )
    return {name: text.strip() for name, text in texts.items() if text.strip()}


def one_of(name: str, text: str, known: Sequence[str]) -> str:
    """Take a text that must be one of those known, in any case of letters.

    Raises:
        UnknownOptionError: it is none of them.
    """
    if text.lower() not in known:
        raise UnknownOptionError(f"{name} cannot be {text!r}.", remedy=f"Choose one of: {', '.join(known)}.")
    return text.lower()


def several_of(text: str, known: Sequence[str]) -> tuple[str, ...]:
    """Read a list of formats separated by commas, each once, in the order given.

    Raises:
        UnknownOptionError: one of them is not known.
    """
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise UnknownOptionError(
                f"There is no format '{name[:40]}'.", remedy=f"Ask for any of: {', '.join(known)}."
            )
    return tuple(dict.fromkeys(names))
