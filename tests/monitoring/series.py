"""Series of samples for promtool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


def selector(labels: Mapping[str, object]) -> str:
    """Write labels as PromQL does."""
    return "{" + ", ".join(f'{name}="{value}"' for name, value in labels.items()) + "}"


@dataclass(frozen=True)
class Series:
    """A series of samples, one a minute, in promtool's notation."""

    name: str
    labels: Mapping[str, object]
    values: str

    def told(self) -> dict[str, str]:
        """It, as promtool is given it."""
        return {"series": self.name + selector(self.labels), "values": self.values}


def counter(name: str, labels: Mapping[str, object], a_minute: float, minutes: int) -> Series:
    """A counter that grows steadily."""
    return Series(name, labels, f"0+{a_minute}x{minutes}")


def gauge(name: str, labels: Mapping[str, object], value: float, minutes: int) -> Series:
    """A gauge that stays."""
    return Series(name, labels, f"{value}x{minutes}")
