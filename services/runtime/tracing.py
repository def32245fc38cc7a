"""Traces: where a request's time went, from its arrival to the model server, told to a collector.

Off, and without any cost, unless COPYIST_OTLP_ENDPOINT is set; then `services.runtime.otlp` sends them.
Names and attributes of spans hold nothing that was uploaded, and no file's name.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from services.runtime.settings import Settings

Kind = Literal["internal", "server", "client", "consumer"]
Attributes = Mapping[str, str | int | float | bool]

#: W3C's header, and metadata key, of a trace's context; and the one that may come with it.
TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"


class Traced(Protocol):
    """A stretch of work while a span stands for it."""

    def note(self, attributes: Attributes) -> None:
        """Add attributes."""
        ...

    def fail(self, kind: str) -> None:
        """Mark the work as failed; `kind` is a short word of a limited number."""
        ...


@dataclass(frozen=True, slots=True)
class Stretch:
    """A span without its trace: what a process did that does not speak to the collector itself.

    Attributes:
        name: of the span.
        began_ns, ended_ns: nanoseconds since the epoch.
    """

    name: str
    began_ns: int
    ended_ns: int


class Tracer(Protocol):
    """What makes spans and sends them."""

    def span(
        self, name: str, kind: Kind, carrier: Mapping[str, str] | None, attributes: Attributes
    ) -> AbstractContextManager[Traced]:
        """See `span`."""
        ...

    def outgoing(self) -> dict[str, str]:
        """See `outgoing`."""
        ...

    def continuing(self, carrier: Mapping[str, str]) -> AbstractContextManager[None]:
        """See `continue_trace`."""
        ...

    def add(self, stretches: Sequence[Stretch]) -> None:
        """See `add`."""
        ...

    def shutdown(self) -> None:
        """See `shutdown`."""
        ...


@dataclass(slots=True)
class _State:
    """What this process does about traces: it sends them, or collects them for its parent, or neither."""

    tracer: Tracer | None = None
    collected: list[Stretch] | None = None


_state: Final = _State()


class _Untraced:
    """Stands for work that is not traced."""

    def __enter__(self) -> Traced:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def note(self, attributes: Attributes) -> None:
        """Do nothing."""

    def fail(self, kind: str) -> None:
        """Do nothing."""


UNTRACED: Final = _Untraced()


def configure(settings: Settings, service: str) -> None:
    """Begin to send traces, if the settings name a collector.

    Args:
        settings: as the operator has them.
        service: which program this is, such as `amt`; `copyist-amt` is then the spans' `service.name`.

    Raises:
        ValueError: the collector's address is none.
    """
    if settings.otlp_endpoint:
        from services.runtime.otlp import OtlpTracer  # noqa: PLC0415 - the SDK is loaded only where it is used

        _state.tracer = OtlpTracer(settings.otlp_endpoint, settings.traced_percent, f"copyist-{service}")


def shutdown() -> None:
    """Send what still waits, for a few seconds at most, and stop."""
    tracer, _state.tracer = _state.tracer, None
    if tracer is not None:
        tracer.shutdown()


def span(
    name: str,
    attributes: Attributes | None = None,
    *,
    kind: Kind = "internal",
    carrier: Mapping[str, str] | None = None,
) -> AbstractContextManager[Traced]:
    """Trace what the block does; spans within it, in threads of `work.in_thread` too, are its children.

    Args:
        name: of a limited number of names.
        attributes: of it.
        kind: whether it answers a call (`server`), makes one (`client`), does a job (`consumer`), or neither.
        carrier: headers (or metadata) of the call that it answers, in lower case, W3C's context among them or
            not; without, it is part of what is under way.
    """
    if _state.tracer is not None:
        return _state.tracer.span(name, kind, carrier, attributes or {})
    if _state.collected is not None:
        return _collecting(name, _state.collected)
    return UNTRACED


def active() -> bool:
    """Whether this process sends traces."""
    return _state.tracer is not None


def outgoing() -> dict[str, str]:
    """Write the headers (or metadata) that let a called server continue the trace; empty without one."""
    return _state.tracer.outgoing() if _state.tracer is not None else {}


def current_traceparent() -> str:
    """Tell the W3C `traceparent` of what is under way, to be continued later; empty without a trace."""
    return outgoing().get(TRACEPARENT, "")


def continue_trace(traceparent: str) -> AbstractContextManager[None]:
    """Let the spans within the block belong to the trace that `current_traceparent` told of."""
    if _state.tracer is None:
        return nullcontext()
    return _state.tracer.continuing({TRACEPARENT: traceparent})


@contextmanager
def collect(wanted: bool) -> Iterator[list[Stretch]]:
    """Collect the spans within the block, in a process that sends none, so that its parent may `add` them."""
    collected: list[Stretch] = []
    _state.collected = collected if wanted else None
    try:
        yield collected
    finally:
        _state.collected = None


def add(stretches: Sequence[Stretch]) -> None:
    """Add spans that another process collected to what is under way."""
    if _state.tracer is not None:
        _state.tracer.add(stretches)


@contextmanager
def _collecting(name: str, collected: list[Stretch]) -> Iterator[Traced]:
    began_ns = time.time_ns()
    try:
        yield UNTRACED
    finally:
        collected.append(Stretch(name, began_ns, time.time_ns()))
