"""Questions to a Prometheus server."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import httpx

from services.errors import CopyistError

_LIMIT_S = 30.0


class PrometheusError(CopyistError):
    """Prometheus does not answer, or not as it should."""

    slug = "prometheus"
    title = "Prometheus does not answer"
    status = 502


@dataclass(frozen=True, slots=True)
class Sample:
    """A value with its labels; the metric's name is not among them."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Series:
    """Values over time with their labels; the metric's name is not among them.

    Attributes:
        labels: see there.
        points: pairs of seconds since the epoch and value, in time order, none where there was no value.
    """

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]


class Prometheus:
    """A server, asked over HTTP.

    Attributes:
        url: its address, such as `http://127.0.0.1:9090`.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def now(self, expression: str, at: datetime | None = None) -> list[Sample]:
        """Evaluate an expression of PromQL that gives an instant vector, now or as of another moment.

        Raises:
            PrometheusError: it cannot be reached, or does not understand.
        """
        asked = {"query": expression} | ({"time": str(at.timestamp())} if at is not None else {})
        return [Sample(_labels(each), float(each["value"][1])) for each in self._result("query", asked)]

    def over(self, expression: str, start: datetime, end: datetime, step: timedelta) -> list[Series]:
        """Evaluate it at the start, and again after each step until the end.

        Raises:
            PrometheusError: it cannot be reached, or does not understand.
        """
        asked = {
            "query": expression,
            "start": str(start.timestamp()),
            "end": str(end.timestamp()),
            "step": str(step.total_seconds()),
        }
        return [
            Series(_labels(each), tuple((float(at), float(value)) for at, value in each["values"]))
            for each in self._result("query_range", asked)
        ]

    def _result(self, question: str, parameters: Mapping[str, str]) -> list[dict[str, Any]]:
        try:
            answer = httpx.get(
                f"{self.url}/api/v1/{question}",
                params=dict(parameters),
                timeout=_LIMIT_S,
                verify=_authorities(),
            ).json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise PrometheusError(
                f"Prometheus at {self.url} gave no answer ({type(error).__name__}).",
                remedy="Start one with `make monitor`, or name its address: --prometheus.",
            ) from None
        if answer.get("status") != "success":
            raise PrometheusError(f"Prometheus refused a question: {answer.get('error', 'without a word')}.")
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found


@cache
def _authorities() -> ssl.SSLContext:
    """Load the known authorities, once: that takes longer than a question."""
    return httpx.create_ssl_context()


def _labels(result: Mapping[str, Any]) -> dict[str, str]:
    return {name: text for name, text in result["metric"].items() if name != "__name__"}
