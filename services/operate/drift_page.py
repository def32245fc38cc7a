"""The figures of drift as a page: of each feature, the reference's distribution and the live one."""

from __future__ import annotations

from html import escape
from typing import Final

from services.operate.drift_figures import CheckFigures, DriftFigures, FeatureFigures

_WIDTH: Final = 320
_HEIGHT: Final = 120
_FOOT: Final = 34
_STYLE: Final = """
:root { --ink: #1c1c1a; --paper: #fbfaf7; --reference: #b9b5aa; --live: #2f6f8f; --drift: #b4442c; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e6e0; --paper: #191917; --reference: #5d5a52; --live: #6fb1d1; --drift: #e27a60; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.features { display: flex; flex-wrap: wrap; gap: 1.5rem; }
figure { margin: 0; width: 320px; } figcaption { font-size: .85rem; } .drift { color: var(--drift); }
rect.reference { fill: var(--reference); } rect.live { fill: var(--live); }
.drift rect.live { fill: var(--drift); } text { fill: var(--ink); font-size: 9px; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem .2rem 0; text-align: left; }
"""


def drift_page(figures: DriftFigures) -> str:
    """Write the page: HTML that needs no other file."""
    models = sorted({(each.model, each.version) for each in figures.features})
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        f"<title>Drift over the last {figures.window}</title><style>{_STYLE}</style>",
        f"<h1>Drift over the last {figures.window}</h1>",
        "<p>Grey: what the model was released for. Coloured: what came. Red: drift, a population stability "
        "index above 0.2 and above three times what chance gives.</p>",
    ]
    for model, version in models:
        parts.append(f"<h2>{escape(model)}, version {escape(version)}</h2><div class=features>")
        parts += [
            _figure(each) for each in figures.features if (each.model, each.version) == (model, version)
        ]
        parts.append("</div>")
        parts.append(
            _checks([each for each in figures.checks if (each.model, each.version) == (model, version)])
        )
    return "\n".join(parts) + "\n"


def _figure(feature: FeatureFigures) -> str:
    told = f"PSI {feature.psi:.3f}, drift above {feature.mark:.3f}" if feature.live else "nothing came"
    return (
        f"<figure{' class=drift' if feature.drifted else ''}><figcaption><b>{escape(feature.feature)}</b> "
        f"({escape(feature.cause)}): {told}, {feature.observations:.0f} observations</figcaption>"
        f"{_bars(feature)}</figure>"
    )


def _bars(feature: FeatureFigures) -> str:
    live = feature.live or (0.0,) * len(feature.reference)
    highest = max((*feature.reference, *live), default=1.0) or 1.0
    step = _WIDTH / max(len(feature.reference), 1)
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT + _FOOT}" role=img aria-label="{escape(feature.feature)}">'
    ]
    for number, (known, seen) in enumerate(zip(feature.reference, live, strict=True)):
        for kind, share, at in (("reference", known, 0.08), ("live", seen, 0.5)):
            height = share / highest * _HEIGHT
            parts.append(
                f'<rect class={kind} x="{(number + at) * step:.1f}" y="{_HEIGHT - height:.1f}" '
                f'width="{0.42 * step:.1f}" height="{height:.1f}"><title>{share:.1%}</title></rect>'
            )
    for number, edge in enumerate(feature.edges, 1):
        x = number * step
        parts.append(
            f'<text x="{x:.1f}" y="{_HEIGHT + 8}" text-anchor="end" '
            f'transform="rotate(-45 {x:.1f} {_HEIGHT + 8})">{edge:g}</text>'
        )
    return "".join([*parts, "</svg>"])


def _checks(checks: list[CheckFigures]) -> str:
    rows = "".join(
        f"<tr><td>{escape(each.check)}<td>{each.passed:.1%}<td>{each.reference:.1%}<td>{each.cases:.0f}"
        for each in checks
    )
    return f"<table><tr><th>check<th>passed<th>reference<th>cases{rows}</table>" if checks else ""
