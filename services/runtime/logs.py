"""Logs on standard output, one line for each thing that happened: text for people, or JSON for machines.

What is true of all that happens within a request or a job, such as its id, is bound to it once and then
stands in every line. No line holds what was uploaded or what a file was called; what callers did choose
(ids, owners) is escaped, so that nobody writes lines of their own.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType, TracebackType
from typing import Any, Final, NamedTuple

from services.runtime.settings import PREFIX, Settings
from services.runtime.text import printable

#: From which level on the lines of a part are written; of all others, from WARNING on.
_LEVELS: Final = {
    "copyist": logging.INFO,
    "bentoml": logging.INFO,
    "circus": logging.WARNING,
    "dbos": logging.WARNING,
    # What is wrong with an upload is for its caller to hear, and no line of the log.
    "PIL": logging.CRITICAL,
    "uvicorn": logging.WARNING,
    "uvicorn.access": logging.WARNING,
    "uvicorn.error": logging.WARNING,
}
_EXTRA: Final = "copyist"

_bound: ContextVar[Mapping[str, Any]] = ContextVar("bound", default=MappingProxyType({}))


class Configured(NamedTuple):
    """What logs were configured with, for processes that this one starts."""

    settings: Settings
    service: str


_configured: Final[list[Configured]] = []


def configured() -> Configured | None:
    """Tell what `configure` was called with in this process; None if it was not."""
    return _configured[0] if _configured else None


def configure(settings: Settings, service: str) -> None:
    """Have this process write its logs, those of the libraries too, in the form that the settings ask for.

    Args:
        settings: as the operator has them.
        service: stands in every line, such as `amt`.

    Raises:
        ValueError: there is no such form.
    """
    if settings.log_format not in ("text", "json"):
        raise ValueError(f"{PREFIX}LOG_FORMAT must be text or json, not {settings.log_format!r}.")
    _configured[:] = [Configured(settings, service)]
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines(service) if settings.log_format == "json" else TextLines(service))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    for name, level in _LEVELS.items():
        logger = logging.getLogger(name)
        logger.setLevel(level)
        # DBOS gives its logger a handler of its own unless it finds one.
        logger.handlers = [handler]
        logger.propagate = False
    logging.captureWarnings(True)
    warnings.filterwarnings("ignore", module=r"PIL\.")
    sys.excepthook = _uncaught
    threading.excepthook = lambda died: _uncaught(
        died.exc_type, died.exc_value or died.exc_type(), died.exc_traceback
    )


@contextmanager
def bind(**fields: Any) -> Iterator[None]:
    """Let every line that is written within the block have these fields, such as `request_id` or `job`."""
    token = _bound.set({**_bound.get(), **fields})
    try:
        yield
    finally:
        _bound.reset(token)


def note(**fields: Any) -> None:
    """Let every later line of the block of `bind` that this is in have these fields too."""
    innermost = _bound.get()
    if isinstance(innermost, dict):  # else it is in none
        innermost.update(fields)


def bound() -> dict[str, Any]:
    """Tell the fields that are bound here, to bind them again elsewhere."""
    return dict(_bound.get())


def fields(**more: Any) -> dict[str, Any]:
    """Give one line more fields: `log.info("...", extra=logs.fields(route="/v1/jobs"))`."""
    return {_EXTRA: more}


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """Write a line; it is ASCII."""
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "service": self._service,
            **_bound.get(),
            **getattr(record, _EXTRA, {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextLines(logging.Formatter):
    """A line for people: time, level, service, logger, message, and what is bound."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """Write a line; that of an exception is followed by its traceback, indented."""
        parts = [_time(record), f"[{record.levelname}]", f"[{self._service}]", record.getMessage()]
        parts += [f"{name}={value}" for name, value in _bound.get().items() if value]
        lines = [" ".join(map(printable, parts))]
        if record.exc_info:
            traceback = self.formatException(record.exc_info).splitlines()
            lines += [f"    {printable(line)}" for line in traceback]
        return "\n".join(lines)


def _time(record: logging.LogRecord) -> str:
    """When it happened, as RFC 3339 has it."""
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logging.getLogger("copyist").critical("uncaught exception", exc_info=(kind, error, trace))
