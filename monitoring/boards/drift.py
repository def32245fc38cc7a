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
                        "three times chance": f'3 * max by (model) (copyist:psi_chance:1h{{model="{model}"}})',
                    },
                    about="Drift is above 0.2 and above three times what chance gives.",
                    marks=(0.2,),
                )
                for model, title in (("piano", "Recordings"), ("symbols", "Pages"))
            ),
        ),
        Row(
            "Shares in each bin: live, less the reference",
            tuple(
                Panel(
                    title,
                    "percentunit",
                    {
                        "{{feature}} {{bin}}": f'copyist:profile_share:1h{{model="{model}"}} - copyist:reference_share'
                    },
                    kind="bargauge",
                )
                for model, title in (("piano", "Recordings"), ("symbols", "Pages"))
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
