"""What models are given, and how well they do."""

from __future__ import annotations

from typing import Final

from monitoring.grafana import Dashboard, Panel, Row

DRIFT: Final = Dashboard(
    "copyist-drift",
    "Copyist: drift and quality",
    (
        Row(
            "Drift: population stability index over the last hour, against the model's reference",
            tuple(
                Panel(
                    title,
                    "short",
                    {
                        "{{feature}} ({{version}})": f'copyist:psi:1h{{model="{model}"}}',
                        # Of the first few uploads chance makes so much that nothing else would be seen.
                        "three times chance, at most 3": f'clamp_max(3 * max by (model) (copyist:psi_chance:1h{{model="{model}"}}), 3)',
                    },
                    about="Drift is above 0.2 and above three times what chance gives.",
                    marks=(0.2,),
                )
                for model, title in (("piano", "Recordings"), ("symbols", "Pages"))
            ),
        ),
        Row(
            "How far each feature is off, of what would be drift: 1 is drift",
            tuple(
                Panel(
                    title,
                    "short",
                    {
                        "{{feature}} ({{version}})": f'sort_desc(copyist:psi:{window}{{model="{model}"}} '
                        f"/ clamp_min(3 * copyist:psi_chance:{window}, 0.2))"
                    },
                    kind="bargauge",
                    about="The pictures of live shares beside the reference: `copyist drift report --html`.",
                    marks=(1.0,),
                )
                for model, window, title in (
                    ("piano", "1h", "Recordings, last hour"),
                    ("piano", "1d", "Recordings, last day"),
                    ("symbols", "1h", "Pages, last hour"),
                    ("symbols", "1d", "Pages, last day"),
                )
            ),
        ),
        Row(
            "Quality that needs no labels",
            (
                Panel(
                    "Checks passed, over the last hour",
                    "percentunit",
                    {
                        "{{model}} {{check}} ({{version}})": "copyist:passed_share:1h",
                        "{{model}} {{check}} reference": "copyist:reference_passed",
                    },
                ),
                Panel(
                    "Observations in the last hour",
                    "short",
                    {"{{model}} {{version}}": "max by (model, version) (copyist:profile_size:1h)"},
                ),
            ),
        ),
    ),
)
