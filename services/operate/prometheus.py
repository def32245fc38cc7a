"""Questions to a Prometheus server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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


class Prometheus:
    """A server, asked over HTTP.

    Args:
        url: its address, such as `http://127.0.0.1:9090`.
    """

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def now(self, expression: str) -> list[Sample]:
        """Evaluate an expression of PromQL that gives an instant vector.

        Raises:
            PrometheusError: it cannot be reached, or does not understand.
        """
        try:
            answer = httpx.get(
                f"{self._url}/api/v1/query", params={"query": expression}, timeout=_LIMIT_S
            ).json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise PrometheusError(
                f"Prometheus at {self._url} gave no answer ({type(error).__name__}).",
                remedy="Start one with `make monitor`, or name its address: --prometheus.",
            ) from None
        if answer.get("status") != "success":
            raise PrometheusError(f"Prometheus refused a question: {answer.get('error', 'without a word')}.")
        return [
            Sample(
                {name: text for name, text in each["metric"].items() if name != "__name__"},
                float(each["value"][1]),
            )
            for each in answer["data"]["result"]
        ]
