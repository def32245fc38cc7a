"""What programs expose to Prometheus, read back."""

from __future__ import annotations

from collections.abc import Iterable

import httpx
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


def samples(text: str) -> list[Sample]:
    """The samples of an answer of /metrics."""
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def exposed(url: str) -> list[Sample]:
    """The samples that a program exposes now; the address is that of its HTTP server."""
    return samples(httpx.get(f"{url}/metrics", timeout=30).raise_for_status().text)


def values(among: Iterable[Sample], name: str, **labels: str) -> list[float]:
    """The values of the samples of this name that have these labels, and maybe others."""
    return [
        sample.value for sample in among if sample.name == name and labels.items() <= sample.labels.items()
    ]
