"""Which version serves whom, and what becomes of new ones."""

from __future__ import annotations

from typing import Final

from monitoring.grafana import Dashboard, Panel, Row

RELEASES: Final = Dashboard(
    "copyist-releases",
    "Copyist: releases and retraining",
    (
        Row(
            "What serves",
            (
                Panel(
                    "Revision of the release manifest",
                    "short",
                    {
                        "{{job}}": "max by (job) (copyist_release_revision)",
                        "in force on Triton": "min(copyist_sync_revision)",
                    },
                    about="Services that lag behind for more than a minute have lost sight of it.",
                ),
                Panel(
                    "Shares of requests",
                    "percentunit",
                    {
                        "{{model}} {{version}} {{role}}": "max by (model, version, role) (copyist_release_share)"
                    },
                ),
                Panel(
                    "Loaded on every Triton",
                    "bool_yes_no",
                    {"{{model}} {{version}}": "min by (model, version) (copyist_sync_ready)"},
                    kind="stat",
                ),
            ),
        ),
        Row(
            "Versions beside each other",
            (
                Panel(
                    "Calls",
                    "reqps",
                    {
                        "{{model}} {{version}}": "sum by (model, version) (rate(copyist_model_calls_total[5m]))"
                    },
                ),
                Panel(
                    "Calls that fail",
                    "percentunit",
                    {
                        "{{model}} {{version}}": "1 - sum by (model, version) "
                        '(rate(copyist_model_calls_total{outcome="ok"}[15m])) / sum by (model, version) '
                        '(rate(copyist_model_calls_total{outcome!="cancelled"}[15m]))'
                    },
                ),
                Panel(
                    "Seconds of a call, 95th percentile",
                    "s",
                    {
                        "{{model}} {{version}}": "histogram_quantile(0.95, sum by (model, version, le) "
                        "(rate(copyist_model_call_seconds_bucket[15m])))"
                    },
                ),
                Panel(
                    "Checks passed",
                    "percentunit",
                    {"{{model}} {{version}} {{check}}": "copyist:passed_share:1h"},
                ),
            ),
        ),
        Row(
            "Canaries and shadows",
            (
                Panel(
                    "A canary's samples, of those that it needs at its share",
                    "percentunit",
                    {
                        "{{model}} {{version}}": "max by (model, version) (copyist_canary_samples) "
                        "/ max by (model, version) (copyist_canary_samples_needed)"
                    },
                ),
                Panel(
                    "How canaries do",
                    "short",
                    {
                        "{{model}} {{version}} {{state}}": "max by (model, version, state) (copyist_canary_state) == 1"
                    },
                    kind="table",
                ),
                Panel(
                    "Steps of canaries since the watch began; roll-backs by what was bad",
                    "short",
                    {
                        "{{model}} {{step}}": "sum by (model, step) (copyist_canary_steps_total)",
                        "{{model}} rolled back: {{kind}}": "sum by (model, kind) (copyist_canary_breaches_total)",
                    },
                ),
                Panel(
                    "Agreement of shadows, median",
                    "percentunit",
                    {
                        "{{model}} {{version}}": "histogram_quantile(0.5, sum by (model, version, le) "
                        "(rate(copyist_shadow_agreement_bucket[1h])))"
                    },
                    about="1: the shadow answers as the version that serves.",
                ),
            ),
        ),
        Row(
            "Trouble, and what answers it",
            (
                Panel(
                    "Requests that fell back to the stable version; failures to load",
                    "short",
                    {
                        "{{model}} {{version}} fell back": "sum by (model, version) (increase(copyist_release_fallbacks_total[1h]))",
                        "{{model}} {{version}} {{reason}}": "sum by (model, version, reason) (copyist_sync_failures_total)",
                    },
                ),
                Panel(
                    "Requests to retrain",
                    "short",
                    {
                        "{{model}} {{decision}}": "sum by (model, decision) (increase(copyist_retraining_requests_total[1d])) > 0"
                    },
                ),
                Panel(
                    "Retraining under way, by step",
                    "short",
                    {"{{model}} {{step}}": "max by (model, step) (copyist_retraining_step)"},
                    kind="table",
                ),
                Panel(
                    "Retrainings kept, by how they ended",
                    "short",
                    {"{{model}} {{state}}": "max by (model, state) (copyist_retraining_runs)"},
                    kind="table",
                ),
            ),
        ),
    ),
)
