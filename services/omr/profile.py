"""Features of pages and of what was read on them, for watching drift."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Final

from services.omr.assembly.recognition import FoundPage
from services.omr.look import PageLook
from services.runtime.profiles import Edges, Observation, shares

EDGES: Final[Edges] = MappingProxyType(
    {
        "staff_space_px": (8.0, 10.0, 12.0, 14.0, 16.0, 18.0, 20.0, 24.0, 30.0),
        "tilt_deg": (0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0),
        "bend_spaces": (0.1, 0.15, 0.2, 0.3, 0.5, 0.8, 1.2, 2.0),
        # Half of all scans are of one bit a pixel: even, and without midtones.
        "unevenness": (0.005, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5),
        "midtone_share": (0.005, 0.02, 0.035, 0.05, 0.07, 0.1, 0.2),
        "ink_share": (0.02, 0.04, 0.06, 0.08, 0.1, 0.13, 0.17),
        "edge_px": (1.2, 1.35, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0),
        "symbols_per_staff": (20.0, 40.0, 60.0, 80.0, 100.0, 120.0, 140.0, 170.0, 200.0),
        "confidence": (0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95),
    }
)


def measure(look: PageLook, page: FoundPage) -> Observation:
    """Measure one page and what was read on it: the features of EDGES, and the checks

    - `staves_found`: whether there are any;
    - `measures_add_up`: of each measure, whether its voices fill it and it lasts as its metre says.

    Features are empty that a page without staves, or without symbols, cannot tell.
    """
    staves = sum(len(system.staves) for system in page.systems)
    measures = [measure.adds_up for system in page.systems for measure in system.measures]
    values: dict[str, Sequence[float]] = {
        # Without staves the scale is a guess, and so is all that hangs on it.
        "staff_space_px": [look.staff_space_px] if staves else [],
        "tilt_deg": [look.tilt_deg] if staves else [],
        "bend_spaces": [look.bend_spaces] if staves else [],
        "unevenness": [look.unevenness],
        "midtone_share": [look.midtone_share],
        "ink_share": [look.ink_share],
        "edge_px": [look.edge_px],
        "symbols_per_staff": [len(page.symbols) / staves] if staves else [],
        "confidence": [symbol.confidence for symbol in page.symbols],
    }
    return Observation(
        features={feature: shares(values[feature], edges) for feature, edges in EDGES.items()},
        checks={
            "staves_found": (int(bool(staves)), 1),
            "measures_add_up": (sum(measures), len(measures)),
        },
    )
