"""What requests are doing: objectives, and where their time goes."""

from __future__ import annotations

from typing import Final

from monitoring.grafana import Dashboard, Panel, Row, quantiles

_WORK: Final = 'route!~"/livez|/readyz|/metrics|/docs.*|static|unknown"'
_DIRECT: Final = 'route=~"/v1/transcribe|/v1/recognize|ModelInfer"'


OVERVIEW: Final = Dashboard(
    "copyist-overview",
    "Copyist: overview and objectives",
    (
        Row(
            "Objectives, over the last day",
            (
                Panel(
                    "Answered without a fault of ours",
                    "percentunit",
                    {"{{service}}": "1 - copyist:faults:ratio_rate1d"},
                    kind="stat",
                    about="The objective is 99.5 %.",
                ),
                Panel(
                    "Direct recognitions within 30 s",
                    "percentunit",
                    {"{{service}}": "1 - copyist:slow:ratio_rate1d"},
                    kind="stat",
                    about="The objective is 95 %.",
                ),
                Panel(
                    "Versions that are ready",
                    "short",
                    {"{{model}} {{version}}": "max by (model, version) (copyist_model_ready)"},
                    kind="table",
                ),
            ),
        ),
        Row(
            "Traffic",
            (
                Panel(
                    "Calls",
                    "reqps",
                    {
                        "{{service}} {{protocol}} {{route}}": "sum by (service, protocol, route) "
                        f"(rate(copyist_requests_total{{{_WORK}}}[5m]))"
                    },
                ),
                Panel(
                    "Faults and refusals",
                    "percentunit",
                    {
                        "{{service}} faults": "copyist:faults:ratio_rate5m",
                        "{{service}} turned away": "copyist:refusals:ratio_rate5m",
                    },
                ),
                Panel(
                    "In flight",
                    "short",
                    {"{{service}}": f"sum by (service) (copyist_requests_in_flight{{{_WORK}}})"},
                ),
            ),
        ),
        Row(
            "Latency",
            (
                Panel(
                    "Direct recognitions",
                    "s",
                    quantiles("copyist_request_seconds", "service", "{{service}}", _DIRECT),
                    marks=(30.0,),
                ),
                Panel(
                    "Burn of the error budget",
                    "short",
                    {
                        "{{service}} availability, 1 h": "copyist:faults:ratio_rate1h / 0.005",
                        "{{service}} latency, 1 h": "copyist:slow:ratio_rate1h / 0.05",
                    },
                    about="1 spends the budget of 30 days in 30 days; alerts come at 14.4, 6 and 3.",
                    marks=(14.4,),
                ),
            ),
        ),
    ),
)

ANATOMY: Final = Dashboard(
    "copyist-anatomy",
    "Copyist: a request's anatomy",
    (
        Row(
            "Stages: the mean of each; `queue` is the wait for a turn",
            tuple(
                Panel(
                    title,
                    "s",
                    {
                        "{{stage}}": f'sum by (stage) (rate(copyist_stage_seconds_sum{{model="{model}"}}[5m])) / '
                        f'sum by (stage) (rate(copyist_stage_seconds_count{{model="{model}"}}[5m]))'
                    },
                )
                for model, title in (
                    ("piano", "A recording"),
                    ("symbols", "A piece of pages, summed over pages"),
                )
            ),
        ),
        Row(
            "The slowest",
            (
                Panel(
                    "Stages, 95th percentile",
                    "s",
                    {
                        "{{model}} {{stage}}": "histogram_quantile(0.95, sum by (model, stage, le) "
                        "(rate(copyist_stage_seconds_bucket[15m])))"
                    },
                ),
                Panel(
                    "Size of the work, 90th percentile: seconds of a recording, or pages",
                    "short",
                    {
                        "{{model}}": "histogram_quantile(0.9, sum by (model, le) "
                        "(rate(copyist_work_size_bucket[15m])))"
                    },
                ),
                Panel(
                    "Uploads, median and 95th percentile",
                    "bytes",
                    {
                        f"{{{{service}}}} {{{{protocol}}}} p{share * 100:g}": f"histogram_quantile({share}, sum by (service, protocol, le) (rate(copyist_upload_bytes_bucket[15m])))"
                        for share in (0.5, 0.95)
                    },
                ),
                Panel(
                    "Notes a minute",
                    "short",
                    {"{{model}}": "60 * sum by (model) (rate(copyist_notes_total[5m]))"},
                ),
            ),
        ),
        Row(
            "Calls of the model server, as the services see them",
            (
                Panel("Seconds", "s", quantiles("copyist_model_call_seconds", "model", "{{model}}")),
                Panel(
                    "How they end, and how often they are tried again",
                    "reqps",
                    {
                        "{{model}} {{outcome}}": "sum by (model, outcome) (rate(copyist_model_calls_total[5m]))",
                        "{{model}} again: {{problem}}": "sum by (model, problem) (rate(copyist_model_call_retries_total[5m]))",
                    },
                ),
            ),
        ),
    ),
)
